"""Five hosts with their faults, and what their sidecars say meanwhile."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from raft_exporter.demo.cluster import until
from raft_exporter.errors import DemoError
from tests.chaos.hosts import Host
from tests.chaos.network import Network
from tests.chaos.recorder import Recorder, Said, Tally
from tests.chaos.truth import NODES, Condition, Truth

PATIENCE: Final = 20.0
"""Seconds that what must be said may take beyond its time, on a slow and busy machine."""

_POLL: Final = 0.05


class Arena:
    """A running cluster. ``timeout`` is H in seconds, and ``seed`` decides victims, phases and lost frames.

    Each fault tells the recorder what is true, and is then made; ``heal`` takes all of them back.
    """

    def __init__(self, ip: str, home: Path, timeout: float, seed: int, tally: Tally) -> None:
        self.timeout = timeout
        self.random = random.Random(seed)
        self.delays: list[tuple[str, str, float]] = []
        self.usable = True
        self.network = Network(ip, len(NODES), home, seed)
        self.home = home
        self._tally = tally
        self._stack = ExitStack()
        self._falls: Counter[str] = Counter()
        self._changed_at = time.monotonic()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.network)
            self.hosts: dict[str, Host] = {}
            for number, each in enumerate(NODES, 1):
                self.hosts[each] = host = Host(number, self.network, self.home, self.timeout)
                stack.callback(host.stop)
            self.recorder = Recorder(list(self.hosts.values()), self.home / "said.jsonl", self._tally)
            stack.callback(self.recorder.stop)
            stack.callback(self._end_faults)
            for host in self.hosts.values():
                host.sidecar.start()
                host.node.start()
            self.recorder.start()
            self.expect("all online", _all_online, within=10)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def scenario(self, name: str) -> Iterator[None]:
        """Run faults in here. After them all is healed, must be online everywhere, and stay so for a while.

        Nothing false may have been said from beginning to end. After a failure the arena isn't ``usable``.
        """
        self.usable = False
        self._tell(Truth(), name)
        self.watch(self.random.uniform(0, self.timeout))
        yield
        self.heal()
        self.watch(self.timeout)
        for host in self.hosts.values():
            faults = re.findall(
                "^.*(?:level=(?:error|critical)|Traceback).*", host.sidecar.log.read_text(), re.MULTILINE
            )
            assert not faults, f"{host.sidecar.name}: {faults[:3]}"
        self.usable = True

    def leader(self) -> Host:
        """The node that leads, once there is exactly one; nobody may be frozen."""

        def only() -> Host | None:
            leaders = [host for host in self.hosts.values() if host.leads]
            return leaders[0] if len(leaders) == 1 else None

        return until("exactly one leader", only, PATIENCE)

    def follower(self) -> Host:
        """A node that does not lead: one of those that were offline least often."""
        return self.some(1, besides=[self.leader()])[0]

    def some(self, count: int, besides: Iterable[Host] = ()) -> list[Host]:
        """So many hosts, of those that were offline least often: damping makes others slow to come back."""
        hosts = [host for host in self.hosts.values() if host not in besides]
        self.random.shuffle(hosts)
        return sorted(hosts, key=lambda host: self._falls[host.id])[:count]

    def others(self, *hosts: Host) -> list[Host]:
        """All hosts but these."""
        return [host for host in self.hosts.values() if host not in hosts]

    def kill(self, *hosts: Host) -> None:
        """``kill -9`` of the nodes; their sidecars and hosts live."""
        self._condition(Condition.GONE, *hosts)
        for host in hosts:
            host.node.kill()

    def power_off(self, host: Host) -> None:
        """Take a whole host away: nothing comes from it any more, not even a refusal."""
        self._condition(Condition.GONE, host)
        self.network.lose(self.network.ways_across([host.number]))
        host.node.kill()
        host.sidecar.kill()

    def freeze(self, host: Host) -> None:
        """Stop the node where it stands; its host goes on."""
        self._condition(Condition.FROZEN, host)
        host.node.freeze()

    def thaw(self, host: Host) -> None:
        """Let the node go on."""
        host.node.thaw()
        self._condition(Condition.UP_AGAIN, host)

    def stall_store(self, host: Host, writer: Host) -> None:
        """Let the node's store hang, and have ``writer`` write, so that it notices."""
        self._condition(Condition.STALLED, host)
        host.stall_store()
        written = writer.put("key", "value")
        assert written == (writer is not host), f"written by {writer.id} with the store of {host.id} stalled"

    def lose(self, share: float) -> None:
        """Lose this share of all frames, each way."""
        self._condition(Condition.LOSSY, *self.hosts.values())
        self.network.lose(self.network.ways(), share)

    def break_link(self, source: Host, target: Host, *, both_ways: bool) -> None:
        """Lose all that ``source`` sends to ``target``, and the other way round if it is ``both_ways``."""
        self._tell(self.recorder.truth.broken_between(source.id, target.id))
        there, back = (source.number, target.number), (target.number, source.number)
        self.network.lose([there, back] if both_ways else [there])

    def cut_off(self, *hosts: Host) -> None:
        """Lose all between these hosts and the others; they must be fewer than half."""
        ids = [host.id for host in hosts]
        self._falls.update(ids)
        self._tell(self.recorder.truth.cut_off(*ids))
        self.network.lose(self.network.ways_across([host.number for host in hosts]))

    def heal(self) -> None:
        """End every fault: all must be online everywhere, in time, and follow one leader."""
        self._end_faults()
        self._restart()
        returning = [
            each
            for each, condition in self.recorder.truth.conditions.items()
            if condition in {Condition.GONE, Condition.CUT_OFF}
        ]
        self._tell(Truth().having(Condition.UP_AGAIN, *NODES).having(Condition.RETURNING, *returning))
        # Coming back takes 3 H, doubled for each unit of flap penalty beyond the first, at most 60 H.
        rise = max((min(3 * 2 ** max(self._falls[each] - 1, 0), 60) for each in returning), default=0)
        self.expect("all online again", _all_online, within=rise + 10, one_leader=True)
        self._tell(Truth())

    def expect(
        self,
        what: str,
        said: Callable[[Said], bool],
        by: Iterable[Host] | None = None,
        within: float = 5.0,
        *,
        one_leader: bool = False,
    ) -> None:
        """Wait until each of these sidecars (by default all) says it at once, at most ``within`` H.

        With ``one_leader`` they must name the same leader too. A busy machine gets ``PATIENCE`` more. How
        long it took since the fault is noted.
        """
        reporters = [host.id for host in (self.hosts.values() if by is None else by)]

        def all_say() -> bool:
            self._check()
            latest = [self.recorder.latest.get(each) for each in reporters]
            if any(one is None or one.at < self._changed_at or not said(one) for one in latest):
                return False
            return not one_leader or len({one.leader for one in latest if one}) == 1

        def told() -> str:
            return "; ".join(f"{each}: {self.recorder.latest.get(each)}" for each in reporters)

        try:
            until(what, all_say, within * self.timeout + PATIENCE)
        except DemoError as error:
            raise AssertionError(f"{self.recorder.scenario}: {error}, but {told()}") from error
        self.delays.append((self.recorder.scenario, what, time.monotonic() - self._changed_at))

    def watch(self, seconds: float) -> None:
        """Let real time pass, and hold meanwhile that nobody says what is false."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check()
            time.sleep(_POLL)

    def watch_until_fault_is(self, seconds: float) -> None:
        """Watch until the last fault is so many seconds old."""
        self.watch(self._changed_at + seconds - time.monotonic())

    def never_said(self, states: Collection[str]) -> None:
        """Hold that in this scenario nobody was called any of these by anybody."""
        said = {key: told & set(states) for key, told in self.recorder.words.items() if told & set(states)}
        assert not said, f"{self.recorder.scenario}: expected nobody to be called {states}, but {said}"

    def _check(self) -> None:
        assert not self.recorder.violations, self.recorder.violations

    def _condition(self, condition: Condition, *hosts: Host) -> None:
        if condition is Condition.GONE:
            self._falls.update(host.id for host in hosts)
        self._tell(self.recorder.truth.having(condition, *(host.id for host in hosts)))

    def _tell(self, truth: Truth, scenario: str | None = None) -> None:
        self.recorder.tell(scenario or self.recorder.scenario, truth)
        self._changed_at = time.monotonic()

    def _end_faults(self) -> None:
        self.network.mend()
        for host in self.hosts.values():
            for process in (host.node, host.sidecar):
                if process.running:
                    process.thaw()
            if self.recorder.truth.conditions[host.id] is Condition.STALLED:
                host.release_store()

    def _restart(self) -> None:
        for host in self.hosts.values():
            for process in (host.sidecar, host.node):
                if not process.running:
                    process.start()


def says(state: str, *members: Host) -> Callable[[Said], bool]:
    """Whether a sidecar says this state of each of these members."""
    return lambda said: all(said.states.get(host.id) == state for host in members)


def _all_online(said: Said) -> bool:
    return said.leader is not None and said.states == dict.fromkeys(NODES, "online")
