"""A sidecar that was frozen saw nothing meanwhile: that silence is its own. And histories replay alike."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_exporter.model.evidence import Configuration, NodeIdentity
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.observed_clock import ObservedClock
from raft_exporter.model.policy import Policy
from raft_exporter.model.table import Table
from tests.model.story import N1, N2, N3, N4
from tests.model.world import PEERS, Does, Node, Says, Scene, scenes

SILENCE = {Reason.SILENT_FOR_ALL, Reason.PROCESS_SILENT, Reason.HEARD_BY_OTHERS}
WELL = Scene(4, Node.LEADS, frozenset(PEERS), (Does.ANSWERS,) * 3, (Says.NOTHING,) * 3, "n3", sidecar=False)


@dataclass
class Sidecar:
    """A table on an observed clock; ``real`` is the monotonic time of the machine."""

    real: float = 1000.0
    clock: ObservedClock = field(default_factory=lambda: ObservedClock(1000.0, 1.0))
    table: Table = field(default_factory=lambda: Table(Policy.of(1.0), (), 0.0))

    def __post_init__(self) -> None:
        self.table.take(NodeIdentity(id="n1", address=N1.address, heartbeat_timeout=1.0), 0.0)
        self.table.take(Configuration(servers=(N1, N2, N3, N4), index=1), 0.0)

    def live(self, scene: Scene) -> set[str]:
        """Live a scene; give who was offline at any time in it."""
        offline = set()
        for _ in range(scene.halves):
            for each in scene.evidence():
                self.table.take(each, self.clock.read(self.real))
            for _ in range(5):
                self.freeze(0.1)
                offline |= self.those(State.OFFLINE)
        return offline

    def freeze(self, seconds: float) -> None:
        """Let the real clock go on, and judge once after that."""
        self.real += seconds
        self.table.judge(self.clock.tick(self.real))

    def those(self, state: State) -> set[str]:
        return {peer for peer, each in self.table.members.items() if each.verdict.state is state}


@settings(max_examples=60)
@given(st.lists(scenes(), max_size=4), st.floats(0.2, 1e6))
def test_no_freeze_makes_an_online_member_offline_or_asymmetric(history: list[Scene], pause: float) -> None:
    """Whatever was told before. Hard evidence that the dwell held back may come through: it is no silence."""
    sidecar = Sidecar()
    for scene in history:
        sidecar.live(scene)
    online = sidecar.those(State.ONLINE)
    sidecar.freeze(pause)
    for peer in online:
        verdict = sidecar.table.members[peer].verdict
        assert verdict.state in {State.ONLINE, State.SUSPECT, State.UNKNOWN, State.STALLED} or (
            verdict.reason not in SILENCE
        )


@settings(max_examples=60)
@given(
    st.lists(scenes([Does.ANSWERS]), min_size=1, max_size=3),
    st.lists(st.floats(0.2, 1e6), min_size=1, max_size=5),
)
def test_who_answers_before_and_after_every_freeze_is_never_offline(
    history: list[Scene], pauses: list[float]
) -> None:
    sidecar = Sidecar()
    for scene in history:
        assert not sidecar.live(scene)
        for pause in pauses:
            sidecar.freeze(pause)
            assert not sidecar.live(WELL)
            assert sidecar.those(State.ONLINE) >= set(PEERS)


@pytest.mark.parametrize("pause", [2.0, 60.0, 86400.0])
def test_a_freeze_counts_as_one_h_of_silence_at_most(pause: float) -> None:
    sidecar = Sidecar()
    sidecar.live(WELL)
    sidecar.freeze(pause)
    assert sidecar.those(State.ONLINE) >= set(PEERS)
    sidecar.freeze(pause)
    assert sidecar.those(State.ONLINE) == set(), "two H of silence in all: nobody is fresh"
    assert sidecar.those(State.OFFLINE) == set()


@settings(max_examples=30)
@given(st.lists(scenes(), max_size=4))
def test_the_same_history_is_judged_the_same(history: list[Scene]) -> None:
    one, other = Sidecar(), Sidecar()
    for scene in history:
        assert one.live(scene) == other.live(scene)
    assert {peer: each.verdict for peer, each in one.table.members.items()} == {
        peer: each.verdict for peer, each in other.table.members.items()
    }
    assert one.table.report(1.0) == other.table.report(1.0)
