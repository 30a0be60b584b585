"""Pictures of pages as Chromium draws them, each in a light and in a dark one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from playwright.sync_api import Browser, Page, sync_playwright

from raft_exporter.errors import DemoError

_SCHEMES: Final[dict[Literal["light", "dark"], str]] = {"light": "", "dark": "-dark"}
"""What is added to a picture's name."""
CHROMIUM_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_LEAST_HEIGHT: Final = 100


class Frame(Struct, frozen=True):
    """How large a picture is: ``width`` in pixels of CSS, and how many of its own each of them is."""

    width: int
    scale: float


class Camera:
    """Takes pictures: NAME.png and NAME-dark.png, in ``folder``."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    def take(self, name: str, frame: Frame, show: Callable[[Page], object]) -> None:
        """Take both pictures of all of the page that ``show`` shows."""
        for scheme, suffix in _SCHEMES.items():
            page = self._browser.new_page(
                color_scheme=scheme,
                viewport={"width": frame.width, "height": _LEAST_HEIGHT},
                device_scale_factor=frame.scale,
            )
            show(page)
            page.screenshot(path=self._folder / f"{name}{suffix}.png", full_page=True)
            page.close()


def chromium() -> str:
    """The path of the system's Chromium; DemoError where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    raise DemoError("needs Chromium: not found")


@contextlib.contextmanager
def camera(folder: Path) -> Iterator[Camera]:
    """Start Chromium; DemoError where it is not installed."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        try:
            yield Camera(browser, folder)
        finally:
            browser.close()
