"""The HTTP face over a cluster of a test's own, in a thread: for what no real cluster shows soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from raft_exporter import __version__
from raft_exporter.checkup import Checkup
from raft_exporter.discovery import TargetGroup
from raft_exporter.journal import Entry, EntryKind, Journal
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.override import Override
from raft_exporter.view import (
    ClusterView,
    MemberView,
    NodeView,
    OverrideView,
    QuorumView,
    ReporterView,
    SightView,
    SilenceView,
)
from raft_exporter.web.app import make_app

_HOST: Final = "127.0.0.1"
_THRESHOLDS: Final = {"suspect_after": 2.0, "gone_after": 5.5, "alone_after": 15.0}


def member(peer: str, state: State = State.ONLINE, reason: Reason = Reason.FRESH) -> MemberView:
    """One member; it is silent for as long as its state takes."""
    silence = {State.ONLINE: 0.25, State.SUSPECT: 3.0}.get(state, 40.0)
    return MemberView(
        id=peer,
        address="10.0.0.1:7000",
        suffrage=Suffrage.VOTER,
        own=False,
        role=Role.FOLLOWER,
        state=state,
        judged_state=state,
        reason=reason,
        since_seconds=80.0,
        flapping=False,
        restored=False,
        override=None,
        silence_seconds=SilenceView(silence, silence, None, silence, silence),
        term=12,
        last_log_index=345678,
    )


def overridden(one: MemberView, author: str, reason: str) -> MemberView:
    """The same member, ignored by an operator."""
    return replace(one, override=OverrideView("ignore", reason, author, 7200.0))


def cluster(*members: MemberView) -> ClusterView:
    """A cluster whose first member is the own node and the leader; all hear the same of each."""
    own, rest = replace(members[0], own=True, role=Role.LEADER), members[1:]
    sees = {
        each.id: SightView(
            seen=each.silence_seconds.any < _THRESHOLDS["suspect_after"],
            silence_seconds=each.silence_seconds.any,
            refused=each.reason is Reason.REFUSED,
        )
        for each in members
    }
    online = sum(each.state is State.ONLINE for each in members)
    quorum = len(members) // 2 + 1
    return ClusterView(
        version=__version__,
        node=NodeView(
            id=own.id,
            address=own.address,
            up=True,
            role=Role.LEADER,
            term=12,
            leader=own.id,
            leader_address=own.address,
            leader_silence_seconds=0.1,
            main_loop_silence_seconds=0.1,
            isolated=False,
            last_log_index=345678,
            commit_index=345678,
            applied_index=345678,
        ),
        quorum=QuorumView(len(members), quorum, online, online - quorum, 7),
        members=(own, *rest),
        reporters=tuple(
            ReporterView(each.id, 0.2, isolated=False, credible=True, sees=sees) for each in members
        ),
        thresholds_seconds=_THRESHOLDS,
    )


class Face:
    """The routes of a sidecar that shows ``view`` and ``journal``, both to be changed at will.

    As a context it serves.
    """

    def __init__(self, view: ClusterView) -> None:
        self.view = view
        self.journal = Journal(1000)
        self._port = 0

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{_HOST}:{self._port}"

    def __enter__(self) -> Face:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Stop, and serve again at the same address at the end."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def note(self, kind: EntryKind, peer: str | None = None, after: State | None = None) -> None:
        """Add to the journal, as a turn of the event loop does."""
        entry = Entry(0, time.time(), kind, peer=peer, after=after)
        self._loop.call_soon_threadsafe(self.journal.add, entry)

    def report(self) -> bytes | None:
        """Report nothing."""
        return None

    def events(self, after: int, limit: int, peer: str | None) -> Sequence[Entry]:
        """The journal."""
        return self.journal.after(after, limit, peer)

    def overrides(self) -> Sequence[Override]:
        """None."""
        return ()

    def members(self) -> Collection[str]:
        """Those of the view."""
        return [each.id for each in self.view.members]

    def checkup(self) -> Checkup:
        """Nothing."""
        return Checkup(())

    def targets(self, asked_at: str) -> Sequence[TargetGroup] | None:
        """Nowhere."""
        return None

    async def set_override(
        self, peer: str, state: str, seconds: float, author: str, reason: str
    ) -> tuple[Override, bool]:
        """Take it, and store it nowhere."""
        now = time.time()
        return Override(now, "n1", state, now + seconds, author, reason, peer), False

    async def reload(self) -> None:
        pass

    async def clear_override(self, peer: str, author: str, reason: str) -> bool | None:
        """Nothing is to be cleared."""
        return None

    async def _serve(self) -> web.AppRunner:
        app = make_app(CollectorRegistry(), lambda: self.view, lambda: True, self)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, _HOST, self._port, reuse_address=True)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner
