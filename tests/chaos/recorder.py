"""Who said what of whom, five times a second, beside what was true at that moment."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final, TextIO

from msgspec import Struct

from tests.chaos.hosts import SIDECAR_PORT, Host
from tests.chaos.network import enter
from tests.chaos.truth import Truth

_INTERVAL: Final = 0.2
_TIMEOUT: Final = 1.0


class Said(Struct, frozen=True):
    """What one sidecar said at ``time.monotonic()`` ``at`` (when it was asked), by member."""

    at: float
    isolated: bool
    leader: str | None
    states: dict[str, str]
    reasons: dict[str, str]


class Tally:
    """How often, and for how many seconds, a sidecar said each state, by scenario and by what was true."""

    def __init__(self) -> None:
        self.samples: Counter[tuple[str, str, str]] = Counter()
        self.seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self.isolated: Counter[tuple[str, str, bool]] = Counter()
        self._lock = threading.Lock()

    def count(self, scenario: str, label: str, state: str, seconds: float) -> None:
        """Count one word of one sidecar about one member."""
        with self._lock:
            self.samples[scenario, label, state] += 1
            self.seconds[scenario, label, state] += seconds

    def count_isolated(self, scenario: str, side: str, isolated: bool) -> None:
        """Count what one sidecar said of its own node."""
        with self._lock:
            self.isolated[scenario, side, isolated] += 1


class Recorder:
    """Asks the sidecar of each host, in a thread a host, until it is stopped; writes it all to ``log``.

    ``scenario`` and ``truth`` are what holds at present; a new value takes the place of the old one as a
    whole. ``words`` are the states that were said in this scenario, by (reporter, member); ``violations`` are
    those that no sidecar may say.
    """

    def __init__(self, hosts: list[Host], log: Path, tally: Tally) -> None:
        self.scenario = "start"
        self.truth = Truth()
        self.latest: dict[str, Said] = {}
        self.words: dict[tuple[str, str], set[str]] = {}
        self.violations: list[str] = []
        self._tally = tally
        self._log_path = log
        self._log: TextIO | None = None
        self._log_lock = threading.Lock()
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(host,)) for host in hosts]

    def start(self) -> None:
        """Begin to ask."""
        self._log = self._log_path.open("w")
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop asking."""
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._log is not None:
            self._log.close()

    def tell(self, scenario: str, truth: Truth) -> None:
        """Say what is true from now on. Tell a fault before it is made, and its end after it has ended."""
        if scenario != self.scenario:
            self.words = {}
        self.scenario, self.truth = scenario, truth
        self._write({"scenario": scenario, "truth": truth.conditions, "minority": sorted(truth.minority)})

    def _watch(self, host: Host) -> None:
        enter(host.namespace)
        door = http.client.HTTPConnection("127.0.0.1", SIDECAR_PORT, timeout=_TIMEOUT)
        before = time.monotonic()
        while not self._stopped.wait(max(before + _INTERVAL - time.monotonic(), 0)):
            elapsed, before = time.monotonic() - before, time.monotonic()
            truth = self.truth
            try:
                door.request("GET", "/api/v1/cluster")
                answer = json.loads(door.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError):
                door.close()
                continue
            self._take(host.id, before, elapsed, truth, answer)
        door.close()

    def _take(self, reporter: str, at: float, seconds: float, truth: Truth, answer: dict[str, Any]) -> None:
        node, members = answer.get("node") or {}, answer.get("members") or []
        said = Said(
            at=at,
            isolated=bool(node.get("isolated")),
            leader=node.get("leader"),
            states={member["id"]: member["state"] for member in members},
            reasons={member["id"]: member["reason"] for member in members},
        )
        scenario, truth_now = self.scenario, self.truth
        side = truth_now.side(reporter)
        self._tally.count_isolated(scenario, side, said.isolated)
        for member, state in said.states.items():
            self.words.setdefault((reporter, member), set()).add(state)
            row, row_now = truth.row(reporter, member), truth_now.row(reporter, member)
            if row == row_now:
                self._tally.count(scenario, row.label, state, seconds)
            if state == "offline" and not (row.offline_allowed or row_now.offline_allowed):
                word = f"{reporter} says {member} offline ({said.reasons[member]})"
                self.violations.append(f"{self._since(at):.1f} s, {scenario}: {word}; it is {row.label}")
        if (last := self.latest.get(reporter)) is None or not _same(last, said):
            words = {each: f"{state} {said.reasons[each]}" for each, state in said.states.items()}
            self._write({"by": reporter, "isolated": said.isolated, "leader": said.leader, "says": words})
        self.latest[reporter] = said

    def _since(self, at: float) -> float:
        return at - self._began

    def _write(self, line: dict[str, Any]) -> None:
        if self._log is not None:
            with self._log_lock:
                self._log.write(json.dumps({"t": round(self._since(time.monotonic()), 2)} | line) + "\n")
                self._log.flush()


def _same(one: Said, other: Said) -> bool:
    def words(said: Said) -> tuple[object, ...]:
        return said.isolated, said.leader, said.states, said.reasons

    return words(one) == words(other)
