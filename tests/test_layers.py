"""The walls of the house (CONTRIBUTING.md): data flows one way, and so do imports."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "raft_exporter"
LAYERS = (
    {"__main__", "reference"},
    {"cli"},
    {
        "demo",
        "check_config_command",
        "healthcheck_command",
        "override_command",
        "events_command",
        "probe_command",
        "rehearse_command",
        "rules_command",
        "run_command",
        "dashboards_command",
        "status_command",
        "doctor_command",
    },
    {"sidecar", "client", "asking", "terminal", "reporting"},
    {"face", "neighbours", "node_sources", "probing", "reloader", "service_manager"},
    {"web"},
    {
        "chronicle",
        "keeper",
        "rehearse",
        "override_desk",
        "per_member",
        "exposition",
        "view",
        "sources",
        "flags",
        "kubernetes",
        "metrics",
        "wording",
        "report_proof",
        "from_files",
        "answers",
        "checkup",
        "discovery",
    },
    {"change", "reloads", "web_config"},
    {"config", "wire", "logs", "journal", "report", "store", "evidence_log", "database", "database_file"},
    {"schema", "bounds", "server_tls"},
    {"strict_yaml", "notation", "lookups", "shipped", "secret", "file_state", "log_rate"},
    {"model", "errors"},
    {"__init__"},
)
"""From the top; a module imports from its own layer or from below."""

WITHOUT_IO = {
    "msgspec",
    "raft_exporter",
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "itertools",
    "math",
    "typing",
}


@cache
def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


@cache
def names() -> frozenset[str]:
    return frozenset(map(name_of, modules()))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports by its full name, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected imports by full name"
            assert node.module is not None
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in names() else node.module for each in full}
    return frozenset(found)


def layer(module: str) -> int:
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else "__init__"
    (found,) = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    return found


def own(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "raft_exporter"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_import_runs_upwards(path: Path) -> None:
    mine = layer(name_of(path))
    assert [module for module in imports(path) if own(module) and layer(module) < mine] == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*.py")), ids=name_of)
def test_the_model_imports_no_io_no_clock_and_no_neighbour(path: Path) -> None:
    found = imports(path)
    assert {module.split(".")[0] for module in found} <= WITHOUT_IO
    assert all(module.startswith("raft_exporter.model") for module in found if own(module))


def test_no_import_goes_in_a_circle() -> None:
    graph = {name_of(path): {each for each in imports(path) if own(each)} for path in modules()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " imports ".join((*above, module))
        if module not in done:
            for each in graph.get(module, ()):
                visit(each, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_whatever_is_imported_is_declared_or_in_the_standard_library() -> None:
    declared = {
        "aiohttp",
        "bcrypt",
        "click",
        "msgpack",
        "msgspec",
        "prometheus_client",
        "requests",
        "rich",
        "yaml",
    }
    found = {module.split(".")[0] for path in modules() for module in imports(path)}
    assert found - set(sys.stdlib_module_names) - {"raft_exporter"} == declared
