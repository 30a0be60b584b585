"""``raft-exporter events``: what happened, as a sidecar's journal tells it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from raft_exporter.answers import MAX_EVENTS, Event
from raft_exporter.asking import client_of, url_option
from raft_exporter.client import SidecarClient
from raft_exporter.errors import ClientError
from raft_exporter.notation import one_line
from raft_exporter.reporting import reported
from raft_exporter.wording import local_time

_EVERY: Final = 1.0
"""Seconds from one question to the next."""


class Follower:
    """Asks for events again and again and gives each once, beyond a restart of the sidecar.

    A sidecar without a store numbers its journal anew then: so the last event is asked for again each time,
    and when another one stands under its number, the journal is read from its beginning.
    """

    def __init__(self, client: SidecarClient, peer: str | None) -> None:
        self._client = client
        self._peer = peer
        self._last: Event | None = None
        self._latest = 0

    def first(self, limit: int) -> Sequence[Event]:
        """Give the latest ``limit`` events."""
        return self._take(0, limit)

    def more(self) -> tuple[Sequence[Event], bool]:
        """Give what is new, and whether the journal began anew."""
        last, latest = self._last, self._latest
        events = self._take(latest if last is None else last.id - 1, MAX_EVENTS)
        whole = last is None or len(events) == MAX_EVENTS or any(_same(each, last) for each in events[:1])
        if whole and self._latest >= latest:
            return [each for each in events if last is None or each.id > last.id], False
        self._last, self._latest = None, 0
        return self._take(0, MAX_EVENTS), True

    def _take(self, after: int, limit: int) -> Sequence[Event]:
        answer = self._client.events(after, limit, self._peer)
        self._latest = answer.latest
        if answer.entries:
            self._last = answer.entries[-1]
        return answer.entries


def _same(one: Event, other: Event) -> bool:
    return (one.id, one.at, one.kind) == (other.id, other.at, other.kind)


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--peer", help="Only what happened to one member: its id.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, MAX_EVENTS), help="The latest so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@url_option
@reported
def events(follow: bool, peer: str | None, limit: int, as_json: bool, url: str) -> None:
    """Show what happened, oldest first, as one sidecar saw it. Times are local."""
    follower = Follower(client_of(url), peer)
    _show(follower.first(limit), as_json=as_json)
    if follow:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            _follow(follower, as_json=as_json)


def _follow(follower: Follower, *, as_json: bool) -> None:
    lost = False
    while True:
        time.sleep(_EVERY)
        try:
            fresh, anew = follower.more()
        except ClientError as error:
            if not lost:
                click.echo(f"raft-exporter: {error}: trying again", err=True)
            lost = True
            continue
        if anew and not lost:
            click.echo("raft-exporter: the sidecar restarted", err=True)
        lost = False
        _show(fresh, as_json=as_json)


def _show(entries: Sequence[Event], *, as_json: bool) -> None:
    for each in entries:
        click.echo(msgspec.json.encode(each) if as_json else one_line(f"{local_time(each.at)}  {each.text}"))
