from __future__ import annotations

import pytest

from raft_exporter.demo.health import Sight, missing, read_metrics

MEMBERS = ("n1", "n2", "n3")
ONLINE = dict.fromkeys(MEMBERS, "online")

METRICS = """\
# HELP raft_node_role 1 for the role that the node says it has, else 0.
# TYPE raft_node_role gauge
raft_node_role{role="follower"} 0.0
raft_node_role{role="leader"} 1.0
# HELP raft_node_leader_info 1 for the leader that the node knows.
# TYPE raft_node_leader_info gauge
raft_node_leader_info{address="127.0.0.1:7000",leader="n1"} 1.0
# HELP raft_peer_state 1 for the state that the member is judged to be in, else 0.
# TYPE raft_peer_state gauge
raft_peer_state{peer="n1",state="online"} 1.0
raft_peer_state{peer="n1",state="offline"} 0.0
raft_peer_state{peer="n2",state="online"} 0.0
raft_peer_state{peer="n2",state="offline"} 1.0
"""


def whole() -> list[Sight]:
    return [Sight(each, "leader" if each == "n1" else "follower", "n1", ONLINE) for each in MEMBERS]


def test_a_scrape_is_read_as_role_leader_and_the_state_of_each_member() -> None:
    sight = read_metrics("n1", METRICS)
    assert sight == Sight("n1", "leader", "n1", {"n1": "online", "n2": "offline"})
    assert str(sight) == "sidecar of n1: leader; leader n1; n1 online, n2 offline"


def test_an_empty_scrape_shows_nothing() -> None:
    sight = read_metrics("n1", "")
    assert sight == Sight("n1", "unknown", "", {})
    assert str(sight) == "sidecar of n1: unknown; leader not known; no members"


def test_nothing_is_missing_in_a_whole_cluster() -> None:
    assert missing(whole(), MEMBERS) == []


@pytest.mark.parametrize(
    ("replaced", "faults"),
    [
        (Sight("n2", "follower", "n1", ONLINE | {"n3": "stalled"}), ["expected n3 online, got stalled"]),
        (
            Sight("n2", "follower", "n1", {"n1": "online", "n2": "online"}),
            ["expected n3 online, got no such"],
        ),
        (Sight("n2", "follower", "n1", ONLINE | {"n4": "online"}), ["expected no member n4"]),
        (Sight("n2", "follower", "", ONLINE), ["expected n1 as leader, got none"]),
        (Sight("n2", "follower", "n3", ONLINE), ["expected n1 as leader, got n3"]),
        (Sight("n2", "candidate", "n1", ONLINE), ["expected its node to lead or follow, got candidate"]),
        (Sight("n2", "leader", "n1", ONLINE), ["expected one leader, got n1 and n2"]),
    ],
)
def test_each_fault_of_a_sidecar_is_named(replaced: Sight, faults: list[str]) -> None:
    sights = [replaced if sight.node == replaced.node else sight for sight in whole()]
    found = missing(sights, MEMBERS)
    assert len(found) == len(faults)
    for line, expected in zip(found, faults, strict=True):
        assert expected in line


def test_no_leader_is_named_once() -> None:
    sights = [Sight(each, "follower", "", ONLINE) for each in MEMBERS]
    assert missing(sights, MEMBERS) == ["expected one leader, got none"]


def test_a_sidecar_without_metrics_is_named() -> None:
    assert missing(whole()[:2], MEMBERS) == ["sidecar of n3: no metrics"]
