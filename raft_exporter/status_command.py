"""``raft-exporter status``: the cluster as one sidecar judges it, once or again and again."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final

import click
import msgspec
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from raft_exporter.answers import MAX_EVENTS
from raft_exporter.asking import client_of, url_option
from raft_exporter.client import SidecarClient
from raft_exporter.errors import ClientError
from raft_exporter.flags import seconds
from raft_exporter.reporting import reported
from raft_exporter.terminal.screen import ENTRIES, Latest, Screen, Watched, unanswered
from raft_exporter.view import ClusterView

_ENDING: Final = {signal.SIGINT, signal.SIGTERM}
_HELD: Final = {signal.SIGWINCH, *_ENDING}
"""What is held back while the terminal is drawn on: a KeyboardInterrupt amid that may get lost."""


@click.command()
@url_option
@click.option("--watch", is_flag=True, help="Show it again and again, with what happened, until Ctrl-C.")
@click.option(
    "--interval", default="1s", show_default=True, callback=seconds, help="With --watch: how often."
)
@click.option("--json", "as_json", is_flag=True, help="Print the sidecar's answer as one JSON object.")
@reported
def status(url: str, watch: bool, interval: float, as_json: bool) -> None:
    """Show who is what, as one sidecar judges it.

    A bearer token for it can be given in the environment: RAFT_EXPORTER_TOKEN.
    """
    client = client_of(url)
    if watch and as_json:
        raise click.UsageError("--watch shows a table, --json prints one answer: expected one of them")
    if watch:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the terminal is put right again
        console, watcher = Console(), Watcher(client, url)
        if console.is_terminal and not console.is_dumb_terminal:
            watch_in_place(watcher, console, lambda: _until_next(interval))
        else:
            watch_in_a_row(watcher, console, lambda: time.sleep(interval))
    elif as_json:
        click.echo(msgspec.json.encode(client.cluster()))
    else:
        Console().print(Screen(client.cluster()))


class Watcher:
    """Asks one sidecar again and again, and keeps its last answer for when it gives none."""

    def __init__(
        self,
        client: SidecarClient,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._wall = wall
        self._answered_at = clock()
        self._view: ClusterView | None = None
        self._watched = Watched(url, wall())

    def ask(self, entries: int) -> bool:
        """Ask once, for so many entries of the journal too; give whether there was an answer."""
        try:
            self._view = self._client.cluster()
        except ClientError as error:
            silent_for = self._clock() - self._answered_at
            self._watched = msgspec.structs.replace(self._watched, silent_for=silent_for, error=str(error))
            return False
        self._answered_at = self._clock()
        self._watched = Watched(self._url, self._wall(), self._latest(entries))
        return True

    def screen(self, height: int | None) -> RenderableType:
        """Draw the last answer, on at most so many lines, and whether it is stale."""
        return self.complaint() if self._view is None else Screen(self._view, self._watched, height)

    def complaint(self) -> Text:
        """Write for how long there has been no answer, and why."""
        if self._watched.error is None:
            return Text(f"asking {self._url}", "dim")
        return unanswered(self._watched.silent_for, self._watched.error)

    def _latest(self, entries: int) -> Latest:
        """What a sidecar answers that has no journal, or an older one, breaks nothing."""
        try:
            return Latest(self._client.events(0, min(entries, MAX_EVENTS), None).entries)
        except ClientError as error:
            return Latest(missing=f"no journal: {error}")


def watch_in_place(watcher: Watcher, console: Console, pause: Callable[[], object]) -> None:
    """Draw over the last screen, on the terminal's other page, until Ctrl-C; the last one stays on this."""
    with (
        _signals(signal.SIG_BLOCK, _HELD),
        contextlib.suppress(KeyboardInterrupt),
        Live(watcher.screen(None), console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            height = console.height
            with _signals(signal.SIG_UNBLOCK, _ENDING):
                watcher.ask(height)
            live.update(watcher.screen(height), refresh=True)
            pause()
    console.print(watcher.screen(None))


def _until_next(seconds: float) -> None:
    """Wait for the next turn, or until the terminal has another size; KeyboardInterrupt when told to end."""
    told = signal.sigtimedwait(_HELD, seconds)
    if told is not None and told.si_signo in _ENDING:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _signals(how: int, which: Collection[signal.Signals]) -> Iterator[None]:
    """Block or unblock signals for a while."""
    before = signal.pthread_sigmask(how, which)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def watch_in_a_row(watcher: Watcher, console: Console, pause: Callable[[], object]) -> None:
    """Print one screen after the other, and one line for each time without an answer, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            answered = watcher.ask(ENTRIES)
            console.print(watcher.screen(None) if answered else watcher.complaint())
            pause()
