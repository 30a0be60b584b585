from __future__ import annotations

import logging

import pytest

from raft_exporter.demo.receiver import Alert, Notification
from raft_exporter.demo.timeline import (
    Said,
    from_alertmanager,
    from_openbao,
    from_raft,
    from_sidecar,
    merged,
    written,
)
from raft_exporter.logs import LogfmtFormatter

FAULT = 1_700_000_000.0


def log_line(at: float, msg: str, **fields: object) -> str:
    record = logging.makeLogRecord(
        {"name": "raft_exporter.sidecar", "levelno": 20, "levelname": "INFO", "created": at, "fields": fields}
    )
    record.msg = msg
    return LogfmtFormatter().format(record)


def change(at: float, peer: str, before: str, after: str, reason: str) -> str:
    return log_line(at, "member state changed", peer=peer, before=before, after=after, reason=reason)


@pytest.mark.parametrize(
    ("observation", "about", "text"),
    [
        ({"kind": "failed_heartbeat", "peer": "n2"}, "n2", "heartbeat to n2 failed"),
        ({"kind": "resumed_heartbeat", "peer": "n2"}, "n2", "heartbeat to n2 resumed"),
        ({"kind": "leader", "leader_id": "n3", "leader_address": "h:1"}, "n1", "its leader is n3"),
        ({"kind": "leader", "leader_id": "", "leader_address": ""}, "n1", "it has no leader"),
        ({"kind": "state", "state": "Candidate"}, "n1", "n1 is Candidate"),
        ({"kind": "peer", "peer": "n4", "removed": False}, "n4", "n4 was added"),
        ({"kind": "peer", "peer": "n4", "removed": True}, "n4", "n4 was removed"),
        ({"kind": "request_vote", "term": 3, "candidate": "n2"}, "n2", "n2 asks for a vote in term 3"),
        (
            {"kind": "request_pre_vote", "term": 3, "candidate": "n2"},
            "n2",
            "n2 asks whether it would get a vote in term 3",
        ),
        ({"kind": "news", "peer": "n2"}, "n2", "news"),
    ],
)
def test_an_observation_is_told_in_words(observation: dict[str, object], about: str, text: str) -> None:
    (said,) = from_raft("n1", [{"seq": 1, "unix_ms": FAULT * 1000 + 250, **observation}])
    assert said == Said(at=FAULT + 0.25, speaker="hashicorp/raft on n1", about=about, text=text)


@pytest.mark.parametrize(
    ("line", "about", "text"),
    [
        (
            "[ERROR] storage.raft: failed to heartbeat to: peer=127.0.0.1:8201 backoff time=10ms "
            'error="dial tcp 127.0.0.1:8201: connect: connection refused"',
            "n2",
            "heartbeat to n2 failed",
        ),
        (
            "[ERROR] storage.raft: failed to heartbeat to: peer=10.0.0.9:8201 backoff time=10ms error=EOF",
            "10.0.0.9:8201",
            "heartbeat to 10.0.0.9:8201 failed",
        ),
        (
            '[INFO]  storage.raft: entering leader state: leader="Node at 127.0.0.1:8301 [Leader]"',
            "n1",
            "n1 is Leader",
        ),
    ],
)
def test_a_line_of_openbaos_log_is_told_as_its_raft_would(line: str, about: str, text: str) -> None:
    log = [
        "==> OpenBao server started! Log data will stream in below:",
        "2023-11-14T22:13:20.100Z [INFO]  core: entering standby mode",
        f"2023-11-14T22:13:20.250Z {line}",
        "2023-11-14T22:13:20.300Z [WARN]  storage.raft: failed to contact: server-id=n2 time=500ms",
    ]
    (said,) = from_openbao("n1", log, {"127.0.0.1:8201": "n2"})
    assert said == Said(at=FAULT + 0.25, speaker="hashicorp/raft on n1", about=about, text=text)


def test_a_sidecars_log_tells_its_changes_of_state_and_nothing_else() -> None:
    lines = [
        log_line(FAULT, "serving", urls="http://127.0.0.1:1"),
        change(FAULT + 2, "n2", "online", "stalled", "main_loop_silent"),
        "no logfmt at all",
    ]
    assert list(from_sidecar("n1", lines)) == [
        Said(FAULT + 2, "sidecar of n1", "n2", "n2 is stalled (main_loop_silent), was online")
    ]


def test_a_quoted_member_id_is_read_back_as_it_was() -> None:
    (said,) = from_sidecar("n1", [change(FAULT, 'the "third" = node', "online", "offline", "refused")])
    assert said.about == 'the "third" = node'


def test_all_voices_are_merged_in_order_of_time_from_the_fault_on() -> None:
    raft = [Said(FAULT + 0.1, "hashicorp/raft on n3", "n1", "heartbeat to n1 failed")]
    sidecars = [
        Said(FAULT - 5, "sidecar of n2", "n1", "n1 is online (fresh), was unknown"),
        Said(FAULT + 0.06, "sidecar of n2", "n1", "n1 is suspect (refused), was online"),
        Said(FAULT + 0.6, "sidecar of n2", "n1", "n1 is offline (refused), was suspect"),
    ]
    assert list(written(merged(raft, sidecars, since=FAULT), FAULT)) == [
        "   +0.06 s  sidecar of n2         n1 is suspect (refused), was online",
        "   +0.10 s  hashicorp/raft on n3  heartbeat to n1 failed",
        "   +0.60 s  sidecar of n2         n1 is offline (refused), was suspect",
    ]


def test_the_same_said_again_and_again_is_one_line_with_a_count() -> None:
    said = [
        Said(FAULT + 1, "a", "n1", "failed"),
        Said(FAULT + 2, "b", "n1", "failed"),
        Said(FAULT + 3, "a", "n2", "failed"),
        Said(FAULT + 4, "a", "n1", "failed"),
        Said(FAULT + 5, "a", "n1", "resumed"),
        Said(FAULT + 6, "a", "n1", "failed"),
    ]
    lines = merged(said, since=FAULT)
    assert [(line.at - FAULT, line.speaker, line.about, line.text, line.times) for line in lines] == [
        (1, "a", "n1", "failed", 2),
        (2, "b", "n1", "failed", 1),
        (3, "a", "n2", "failed", 1),
        (5, "a", "n1", "resumed", 1),
        (6, "a", "n1", "failed", 1),
    ]
    first = next(iter(written(lines, FAULT)))
    assert first.endswith("failed (and 1 more until +4.00 s)")


def notification(at: float, *alerts: tuple[str, str]) -> Notification:
    told = tuple(
        Alert(status, {"alertname": "RaftPeerOffline", "peer": peer}, {"summary": "A member is offline."})
        for peer, status in alerts
    )
    return Notification("ticket", alerts[0][1], "group", told, at=at)


def test_an_alert_is_told_when_it_is_announced_and_when_it_is_taken_back() -> None:
    told = [
        notification(FAULT, ("n2", "firing")),
        notification(FAULT + 1, ("n2", "firing"), ("n3", "firing")),
        notification(FAULT + 2, ("n2", "resolved"), ("n3", "firing"), ("n1", "resolved")),
    ]
    assert [(said.at - FAULT, said.speaker, said.text) for said in from_alertmanager(told)] == [
        (0, "Alertmanager: ticket", "RaftPeerOffline n2: A member is offline."),
        (1, "Alertmanager: ticket", "RaftPeerOffline n3: A member is offline."),
        (2, "Alertmanager: ticket", "RaftPeerOffline n2 (resolved): A member is offline."),
    ]
