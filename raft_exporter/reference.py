"""docs/configuration.md, written from the types of the configuration and the flags of ``run``."""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec
from msgspec import Meta, Struct

from raft_exporter.model.policy import COUNTS, Multiples
from raft_exporter.notation import DURATION, format_duration
from raft_exporter.run_command import run
from raft_exporter.schema import Config, TlsConfig
from raft_exporter.strict_yaml import Notation, join_path, unwrap

KEYS_OF_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("node.id",),
    "raft": ("node.raft",),
    "peer": ("peers",),
    "listen": ("web.listen",),
    "observer": ("observer.listen",),
    "node": ("node.api.url",),
    "node_token_file": ("node.api.token_file",),
    "telemetry": ("telemetry.listen",),
    "heartbeat_timeout": ("node.heartbeat_timeout",),
    "sidecars": ("reports.url", "reports.sidecars"),
    "web_config": ("web.config_file",),
    "advertise": ("reports.advertise",),
    "store": ("store.path",),
    "log_level": ("log.level",),
    "log_format": ("log.format",),
}
"""The keys that each flag of ``run`` sets, by the name of its parameter."""

SHARED: Final[Mapping[type[Struct], str]] = {TlsConfig: "TLS"}
"""Groups of keys that stand at several places, and have one section for all of them."""

_QUOTED: Final = re.compile(r"(?<!\w)'([^']+)'(?!\w)")
_SCALARS: Final = {bool: "`true` or `false`", int: "a whole number", float: "a number", str: "a text"}

_INTRODUCTION: Final = """\
# Configuration

Generated from `raft_exporter/schema.py` and the flags of `raft-exporter run` by `make docs`; a test holds
that they agree.

A sidecar needs no file: the flags do for a start, and beside a service that has the observer not even those.
A file is for what is better written down:

```yaml
# raft-exporter.yml
node:
  raft: 127.0.0.1:7000
peers:
  - id: n2
    address: 10.0.0.2:7000
  - id: n3
    address: 10.0.0.3:7000
reports:
  url: "http://{host}:9641" # where the other sidecars are; {host} is the host of each member's Raft address
store:
  path: /var/lib/raft-exporter/raft-exporter.db
```

```console
$ raft-exporter check-config raft-exporter.yml
raft-exporter.yml: ok
$ raft-exporter run --config raft-exporter.yml
```

- **Every key may be left out.** An empty file is a configuration.
- **It is read strictly.** A key that is not known, a value of the wrong kind, thresholds that contradict each
  other: each is one line with the key, what was expected and what came, all of them at once, and exit code 2.
  YAML is read as version 1.2 has it (`no` is a text, not false), without anchors, aliases and tags.
- **A flag goes before the file,** and an environment variable (`RAFT_EXPORTER_RUN_...`) is a flag.
- **Times** are durations: `500ms`, `1s`, `1m30s`, `2h`, `30d`. **H** is the node's HeartbeatTimeout, by which
  Raft itself counts.
- **Secrets** are never flags or values here, which would show in the list of processes or in a copy of the
  file: a key names the file that holds one (`..._file`). `RAFT_EXPORTER_TOKEN` stands for `web.token_file`,
  and goes before it.
- **A reload** (SIGHUP, or `POST /-/reload`) takes up a change of any key, whole or not at all:
  [deploy.md](deploy.md#reload).

"""


def markdown(example: str) -> str:
    """Write docs/configuration.md; ``example`` is the file with every key."""
    parts = [_INTRODUCTION, _flags()]
    parts += [_section(name, cls) for name, cls in sections()]
    parts.append(f"## A file with every key\n\n```yaml\n{example}```\n")
    return "".join(parts)


def sections() -> Iterator[tuple[str, type[Struct]]]:
    """Give each group of keys with its path, a list's with ``[]`` behind it; the shared ones last."""
    yield from _below("", Config)
    for cls, name in SHARED.items():
        yield name, cls


def _below(path: str, cls: type[Struct]) -> Iterator[tuple[str, type[Struct]]]:
    for field in msgspec.structs.fields(cls):
        group, many = _group(field.type)
        if group is not None and group not in SHARED:
            name = join_path(path, field.encode_name) + ("[]" if many else "")
            yield name, group
            yield from _below(name, group)


def _group(hint: Any) -> tuple[type[Struct] | None, bool]:
    """Give the struct that a field holds, if any, and whether it holds a list of them."""
    base, _ = unwrap(hint)
    many = typing.get_origin(base) is tuple
    if many:
        base, _ = unwrap(typing.get_args(base)[0])
    is_group = isinstance(base, type) and issubclass(base, Struct)
    return (base if is_group else None), many


def _section(name: str, cls: type[Struct]) -> str:
    shared = cls in SHARED
    title = name if shared else f"`{name}`"
    head = [f"## {title}", "", as_code(str(cls.__doc__).strip()), ""]
    if shared:
        head[2] += f" The keys of {', '.join(f'`{path}`' for path in _places(cls))}."
    if cls is Multiples:
        head[2] = (
            "The thresholds of the judgement. Times are in multiples of H, so that they fit a node with any "
            "timeouts; the defaults are measured ([quality.md](quality.md)). What they do: "
            "[architecture.md](architecture.md#how-a-member-is-judged)."
        )
    rows = ["| key | meaning | written as | default | flag |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(cls):
        path = f"{name}.{field.encode_name}"
        key = field.encode_name if shared else path
        flags = ", ".join(f"`{flag}`" for flag in _flags_of(path))
        cells = (f"`{key}`", _description(field.type), _written_as(field, cls), _default(field), flags)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*head, *rows]) + "\n\n"


def _places(cls: type[Struct]) -> Iterator[str]:
    for name, group in _below("", Config):
        for field in msgspec.structs.fields(group):
            if _group(field.type)[0] is cls:
                yield f"{name}.{field.encode_name}"


def _description(hint: Any) -> str:
    return next(
        as_code(extra.description)
        for extra in unwrap(hint)[1]
        if isinstance(extra, Meta) and extra.description
    )


def as_code(text: str) -> str:
    """Write what stands in quotes as code; an apostrophe is none."""
    return _QUOTED.sub(r"`\1`", text)


def _written_as(field: msgspec.structs.FieldInfo, cls: type[Struct]) -> str:
    group, many = _group(field.type)
    if group is not None:
        name = SHARED.get(group, "below")
        text = f"[{name}](#{name.lower()})" if group in SHARED else name
        return f"a list, its keys {text}" if many else f"keys, {text}"
    base, extras = unwrap(field.type)
    if many:
        base, extras = unwrap(typing.get_args(base)[0])
    multiple = cls is Multiples and field.encode_name not in COUNTS
    text = "a multiple of H" if multiple else _kind(base, extras)
    return ("a list, each " if many else "") + text + _bounds(unwrap(field.type)[1])


def _kind(base: Any, extras: list[object]) -> str:
    for extra in extras:
        if isinstance(extra, Notation):
            return "a duration" if extra.expected == DURATION else as_code(extra.expected)
    if typing.get_origin(base) is Literal:
        return ", ".join(f"`{word}`" for word in typing.get_args(base))
    return _SCALARS[base]


def _bounds(extras: list[object]) -> str:
    duration = any(isinstance(extra, Notation) for extra in extras)

    def shown(value: float) -> str:
        return format_duration(value) if duration else f"{value:.15g}"

    for meta in extras:
        if isinstance(meta, Meta) and meta.le is not None:
            if meta.gt is not None:
                return f", above {shown(meta.gt)}, up to {shown(meta.le)}"
            return f", {shown(meta.ge or 0)} to {shown(meta.le)}"
        if isinstance(meta, Meta) and meta.min_length is not None:
            return f"; at least {meta.min_length}"
    return ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT:
        return "has to be given"
    if value is None or isinstance(value, Struct):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(msgspec.json.encode(each).decode() for each in value)}]`"
    if isinstance(value, float) and any(isinstance(extra, Notation) for extra in unwrap(field.type)[1]):
        return f"`{format_duration(value)}`"
    return f"`{value:.15g}`" if isinstance(value, int | float) else f"`{value}`"


def _options() -> Iterator[tuple[click.Option, str]]:
    """Give the flags of ``run`` that set a key, each with its environment variable."""
    context = click.Context(run, info_name="run", auto_envvar_prefix="RAFT_EXPORTER_RUN")
    for option in run.params:
        if isinstance(option, click.Option) and option.name is not None:
            named = option.envvar if isinstance(option.envvar, str) else None
            yield option, named or f"{context.auto_envvar_prefix}_{option.name.upper()}"


def _flags_of(path: str) -> Iterator[str]:
    for option, _ in _options():
        if path in KEYS_OF_FLAGS.get(str(option.name), ()):
            yield option.opts[0]


def _flags() -> str:
    lines = [
        "## Flags and environment variables of `run`",
        "",
        "Several values of one variable are apart by spaces.",
        "",
        "| flag | variable | key | meaning |",
        "|---|---|---|---|",
    ]
    for option, variable in _options():
        keys = ", ".join(f"`{key}`" for key in KEYS_OF_FLAGS.get(str(option.name), ()))
        lines.append(f"| `{option.opts[0]}` | `{variable}` | {keys} | {option.help} |")
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    sys.stdout.write(markdown(Path(sys.argv[1]).read_text(encoding="utf-8")))
