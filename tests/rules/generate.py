"""Write rules/tests/*.test.yml from the stories: ``python -m tests.rules.generate``."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Final

import tests.rules
from tests.rules.promtool import rendered
from tests.rules.scenario import Story

DIRECTORY: Final = Path(__file__).parents[2] / "rules" / "tests"


def stories() -> dict[str, list[Story]]:
    """Give what each module of this package that has ``STORIES`` tells."""
    names = [module.name for module in pkgutil.iter_modules(tests.rules.__path__)]
    modules = {
        name: importlib.import_module(f"tests.rules.{name}") for name in names if not name.startswith("test_")
    }
    return {
        name: [tell() for tell in module.STORIES]
        for name, module in modules.items()
        if hasattr(module, "STORIES")
    }


def files() -> dict[Path, str]:
    """Give the text of each file of tests."""
    return {DIRECTORY / f"{name}.test.yml": rendered(name, told) for name, told in stories().items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
