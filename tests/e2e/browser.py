"""Headless Chromium: pages that are watched for every complaint, and what is asked of how a page looks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from pictures.camera import CHROMIUM_FLAGS, chromium
from tests.conftest import Need

OUT_OF_REACH: Final = (
    r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
)
"""What a browser says of its own accord when a server goes away."""

_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_EXAMINED: Final = {(1440, "light"), (390, "dark")}
"""Where axe-core looks, which takes seconds: every width and every colour once."""
_PATIENCE: Final = 20_000
"""Milliseconds that may pass until the page shows what it must."""
_MOMENTS: Final = """
    (wanted) => {
      window.moments = {};
      const test = {
        text: (element, sign) => element.textContent.includes(sign),
        title: (element, sign) => element.title.includes(sign),
      };
      const look = () => {
        for (const [name, [selector, kind, sign]] of Object.entries(wanted)) {
          const element = document.querySelector(selector);
          if (!(name in window.moments) && element && test[kind](element, sign)) {
            window.moments[name] = Date.now() / 1000;
          }
        }
      };
      new MutationObserver(look).observe(
        document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    }
"""
_DRAWN: Final = """
    async (count) => {
      for (let drawn = 0; drawn < count; drawn += 1) {
        await new Promise((done) => {
          const observer = new MutationObserver(() => { observer.disconnect(); done(); });
          observer.observe(document.querySelector("#sight"), { subtree: true, childList: true });
        });
      }
    }
"""


@contextmanager
def browsing(path: str) -> Iterator[Browser]:
    """Chromium, headless, with a profile of its own, that itself asks nobody anything."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page of a sidecar, and everything that the browser had to say against it.

    ``allow`` takes patterns of complaints that are what the test is about.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self._allowed: list[re.Pattern[str]] = []
        self._complaints: list[str] = []
        self.page: Page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        self.page.set_default_timeout(_PATIENCE)
        self.page.on("console", self._console)
        self.page.on("pageerror", self._page_error)
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def open(self) -> Response:
        """Go there, and wait for the first state of the cluster."""
        answer = self.page.goto(self.url)
        assert answer is not None
        self.page.wait_for_selector("#live[data-live=live]")
        return answer

    def allow(self, *patterns: str) -> None:
        """Expect complaints of these kinds from now on."""
        self._allowed += [re.compile(pattern) for pattern in patterns]

    def close(self) -> None:
        """Close the page; AssertionError when there was something to complain of."""
        self.page.context.close()
        left = [each for each in self._complaints if not any(one.search(each) for one in self._allowed)]
        assert left == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self._complaints.append(f"console {message.type}: {message.text} ({message.location['url']})")

    def _page_error(self, error: Error) -> None:
        self._complaints.append(f"page error: {error}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self._complaints.append(
                f"another host: {urlsplit(request.url).netloc} is asked for {request.url}"
            )

    def _failed(self, request: Request) -> None:
        closed = request.resource_type == "eventsource" and request.failure == "net::ERR_ABORTED"
        if not closed:  # a page that closes its own stream, or is closed, has not failed
            self._complaints.append(f"failed: {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._complaints.append(f"status {response.status}: {response.url}")


def moments(page: Page, wanted: dict[str, tuple[str, str, str]]) -> Callable[[], dict[str, float]]:
    """Note when the page first shows each of ``wanted``: a selector, ``text`` or ``title``, and its content.

    Gives a function that waits for all of them, and tells their Unix times as the browser knew them.
    """
    page.evaluate(_MOMENTS, wanted)

    def told() -> dict[str, float]:
        page.wait_for_function("(count) => Object.keys(window.moments).length === count", arg=len(wanted))
        return {str(name): float(at) for name, at in page.evaluate("window.moments").items()}

    return told


def axe_faults(page: Page) -> list[str]:
    """What axe-core finds against the page, be it serious or not."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {'; '.join(node['html'] for node in each['nodes'])}"
        for each in found
    ]


def unnamed(page: Page) -> list[str]:
    """The roles of those that one can act on and that have no name for a screen reader."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    acting = {"button", "link", "textbox", "combobox", "group", "region", "dialog", "checkbox"}
    shown = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    return [role for role, name in shown if role in acting and not name.strip()]


def portraits(page: Page, name: str, folder: Path) -> list[str]:
    """Take the page's picture wide and narrow, light and dark; give the faults in how it looks and reads."""
    faults: list[str] = []
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in _SCHEMES:
            page.emulate_media(color_scheme=scheme)
            picture = f"{name}-{width}-{scheme}"
            whole = page.get_by_role("dialog").count() == 0
            page.screenshot(path=folder / f"{picture}.png", full_page=whole, animations="disabled")
            over = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            found = [f"{over} pixels too wide"] if over > 0 else []
            found += axe_faults(page) if (width, scheme) in _EXAMINED else []
            faults += [f"{picture}: {fault}" for fault in (*found, *unnamed(page))]
    return faults


def next_states(page: Page, count: int) -> None:
    """Wait until the page has drawn so many more states of the cluster."""
    page.evaluate(_DRAWN, count)


@pytest.fixture(scope="module")
def browser(need: Need) -> Iterator[Browser]:
    """The browser of all tests of a module; none of them may be asynchronous: Playwright has its own loop."""
    with browsing(need("chromium", chromium)) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Visit]]:
    """Visit sidecars by their URLs: whatever the browser has to complain of fails the test at its end."""
    with ExitStack() as stack:

        def begin(url: str) -> Visit:
            made = Visit(browser, url)
            stack.callback(made.close)
            return made

        yield begin


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go: RAFT_EXPORTER_PICTURES, to be looked at, or nowhere that lasts."""
    folder = Path(os.environ.get("RAFT_EXPORTER_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
