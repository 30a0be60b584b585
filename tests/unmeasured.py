"""An environment for processes whose coverage is not measured."""

from __future__ import annotations

import os


def unmeasured() -> dict[str, str]:
    """Give this process's environment without what starts coverage in a Python child.

    For copies of the package: they are not the code that counts.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
