"""docs/configuration.md: complete, and what its generator makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml
from click.testing import CliRunner

from raft_exporter import config, reference
from raft_exporter.config import Config
from raft_exporter.flags import RunFlags, with_flags
from raft_exporter.run_command import run
from raft_exporter.schema import TlsConfig

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLE = (DOCS / "every-key.yml").read_text()
PAGE = (DOCS / "configuration.md").read_text()

NO_FLAGS: RunFlags = {
    "id": None,
    "raft": None,
    "peer": (),
    "listen": (),
    "observer": (),
    "node": None,
    "node_token_file": None,
    "telemetry": (),
    "heartbeat_timeout": None,
    "sidecars": (),
    "web_config": None,
    "advertise": None,
    "store": None,
    "log_level": None,
    "log_format": None,
}
FLAGS: dict[str, object] = {
    "id": "n7",
    "raft": "10.0.0.7:7000",
    "peer": ("n8=10.0.0.8:7000",),
    "listen": (":9999",),
    "observer": ("tcp:127.0.0.1:9999",),
    "node": "http://127.0.0.1:1",
    "node_token_file": "/token",
    "telemetry": ("udp:127.0.0.1:9999",),
    "heartbeat_timeout": "3s",
    "sidecars": ("http://{host}:1", "n8=http://10.0.0.8:1"),
    "web_config": "/web.yml",
    "advertise": "http://10.0.0.7:1",
    "store": "/a.db",
    "log_level": "debug",
    "log_format": "json",
}


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a tree by its path; the items of a list all have the path of the list, with []."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for item in tree:
            yield from leaves(item, f"{path}[]")
    else:
        yield path, tree


def keys() -> set[str]:
    """Every key of the types, those of a shared group by their last part alone."""
    groups: list[tuple[str, type[msgspec.Struct]]] = [("", Config), *reference.sections()]
    found = set()
    for name, cls in groups:
        for field in msgspec.structs.fields(cls):
            shared = cls in reference.SHARED or not name
            found.add(field.encode_name if shared else f"{name}.{field.encode_name}")
    return found


def test_the_page_is_what_its_generator_makes() -> None:
    assert reference.markdown(EXAMPLE) == PAGE, "run `make docs`"


def test_every_key_of_the_types_is_on_the_page() -> None:
    shown = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))
    shown |= set(re.findall(r"^## `([^`]+)`$", PAGE, re.MULTILINE))
    assert {key for key in keys() if key not in shown and f"{key}[]" not in shown} == set()
    assert {"node.api.url", "policy.rise", "peers[].suffrage", "server_name"} <= shown


def test_every_key_has_a_description_and_a_way_to_write_it() -> None:
    rows = re.findall(r"^\| (`[^`]+`) \| (.*)$", PAGE, re.MULTILINE)
    settings = [cells for key, rest in rows if not key.startswith("`--") for cells in [rest.split(" | ")]]
    assert len(settings) > 70
    assert [cells for cells in settings if not cells[0] or not cells[1]] == []


def test_the_example_is_taken_and_has_every_key() -> None:
    assert config.parse(EXAMPLE, "raft-exporter.yml") != Config()
    tree = yaml.safe_load(EXAMPLE)
    shown = {path for path, _ in leaves(tree)}
    # The other way to telemetry excludes the one that is shown: it stands in a comment.
    (other,) = re.findall(r"prometheus: (\{.*\})$", EXAMPLE, re.MULTILINE)
    del tree["telemetry"]["listen"]
    tree["telemetry"]["prometheus"] = yaml.safe_load(other)
    assert config.parse(yaml.safe_dump(tree), "raft-exporter.yml") != Config()
    shown |= {path for path, _ in leaves(tree)}
    shown |= {path.rpartition(".")[2] for path in shown if ".tls." in path}

    def is_group(key: str) -> bool:
        return any(each.startswith((f"{key}.", f"{key}[]")) for each in shown)

    missing = {key for key in keys() if key not in shown and not is_group(key)}
    assert missing == {"probe.tls"}
    assert set(TlsConfig.__struct_fields__) <= shown


def test_the_thresholds_of_the_example_are_the_defaults() -> None:
    assert config.parse(EXAMPLE, "raft-exporter.yml").policy == Config().policy


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_sets_the_keys_that_it_is_said_to_set(name: str) -> None:
    given: Any = {**NO_FLAGS, name: FLAGS[name]}
    before = dict(leaves(msgspec.to_builtins(Config())))
    after = dict(leaves(msgspec.to_builtins(with_flags(Config(), given))))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path.partition("[]")[0] for path in changed} == set(reference.KEYS_OF_FLAGS[name])


def test_every_flag_of_run_is_on_the_page() -> None:
    options = {option.name: option.opts[0] for option in run.params if isinstance(option, click.Option)}
    assert options.keys() - {"config"} == reference.KEYS_OF_FLAGS.keys() == FLAGS.keys() == NO_FLAGS.keys()
    assert [flag for flag in options.values() if f"| `{flag}` |" not in PAGE] == []


def test_a_variable_is_read_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str | None, object]] = []
    for option in run.params:
        monkeypatch.setattr(option, "callback", lambda _, param, value: taken.append((param.name, value)))
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
    values = {str(option.name): FLAGS.get(str(option.name), "/a.yml") for option in run.params}
    words = {
        rows[option.opts[0]]: " ".join(value) if isinstance(value, tuple) else str(value)
        for option in run.params
        for value in [values[str(option.name)]]
    }
    monkeypatch.setattr(run, "callback", lambda **_: None)
    result = CliRunner().invoke(run, env=words, auto_envvar_prefix="RAFT_EXPORTER_RUN", standalone_mode=False)
    assert result.exception is None
    assert {name: str(value) for name, value in taken} == {name: str(value) for name, value in values.items()}
