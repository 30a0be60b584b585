"""The services of deploy/compose/compose.yml, as a container engine would see them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Self

import msgspec
import yaml
from msgspec import Meta, Struct

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "deploy" / "compose"
FILE: Final = COMPOSE / "compose.yml"


class Mount(Struct, frozen=True):
    """One mount: a volume of the engine's by its name, or a path of this tree."""

    source: str
    target: PurePosixPath
    read_only: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the short form, SOURCE:TARGET or SOURCE:TARGET:ro."""
        source, target, *mode = text.split(":")
        assert mode in ([], ["ro"]), text
        return cls(source, PurePosixPath(target), mode == ["ro"])

    @property
    def path(self) -> Path | None:
        """The file or folder of this tree that is mounted; None for a volume."""
        return (COMPOSE / self.source).resolve() if self.source.startswith(".") else None


class Service(Struct, frozen=True):
    """What is said of a service, as far as somebody looks at it."""

    name: str
    image: str
    user: Annotated[str, Meta(pattern=r"^\d+:\d+$")]
    mounts: tuple[Mount, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    networks: frozenset[str]
    ports: tuple[str, ...]
    build: Path | None
    raw: dict[str, Any]

    def host_path(self, inside: str) -> Path | None:
        """Give the file of this tree that stands at a path inside; None where none of this tree does."""
        for mount in self.mounts:
            if mount.path is not None and PurePosixPath(inside).is_relative_to(mount.target):
                return mount.path / PurePosixPath(inside).relative_to(mount.target)
        return None

    def volume(self, inside: str) -> str | None:
        """Give the name of the volume that a path inside lies in; None where it lies in none."""
        for mount in self.mounts:
            if mount.path is None and PurePosixPath(inside).is_relative_to(mount.target):
                return mount.source
        return None


def document() -> dict[str, Any]:
    """The file, its merges done."""
    return dict(yaml.safe_load(FILE.read_text()))


def services() -> dict[str, Service]:
    """The services by name."""
    return {name: _service(name, raw) for name, raw in document()["services"].items()}


def _service(name: str, raw: dict[str, Any]) -> Service:
    facts = {
        "name": name,
        "image": raw["image"],
        "user": raw["user"],
        "command": raw.get("command", []),
        "environment": raw.get("environment", {}),
        "networks": raw["networks"],
        "ports": raw.get("ports", []),
        "raw": raw,
        "mounts": [],
        "build": None,
    }
    service = msgspec.convert(facts, Service)
    return msgspec.structs.replace(
        service,
        mounts=tuple(map(Mount.parse, raw.get("volumes", []))),
        build=(COMPOSE / raw["build"]).resolve() if "build" in raw else None,
    )
