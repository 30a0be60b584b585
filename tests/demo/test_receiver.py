"""The receiver of Alertmanager's webhooks: what Alertmanager sends is kept, what is none is refused."""

from __future__ import annotations

import requests

from raft_exporter.demo.receiver import Alert, Receiver

BODY = {
    "version": "4",
    "groupKey": '{}:{alertname="RaftPeerOffline"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "ticket",
    "groupLabels": {"alertname": "RaftPeerOffline"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://127.0.0.1:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "RaftPeerOffline", "peer": "n2"},
            "annotations": {"summary": "A member is offline."},
            "startsAt": "2026-11-27T20:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "00",
        }
    ],
}


def test_a_notification_is_kept() -> None:
    with Receiver() as receiver:
        assert requests.post(f"{receiver.url}/ticket", json=BODY, timeout=5).status_code == 200
    (kept,) = receiver.notifications
    assert (kept.receiver, kept.status, kept.group_key) == ("ticket", "firing", BODY["groupKey"])
    labels = {"alertname": "RaftPeerOffline", "peer": "n2"}
    assert kept.alerts == (Alert("firing", labels, {"summary": "A member is offline."}),)
    assert kept.alerts[0].name == "RaftPeerOffline"
    assert kept.at > 0


def test_what_is_no_notification_is_a_bad_request() -> None:
    with Receiver() as receiver:
        for body in (b"", b"{", b'{"receiver": 1}', b"\xff"):
            assert requests.post(receiver.url, data=body, timeout=5).status_code == 400
        chunks = requests.post(receiver.url, data=iter([b"{}"]), timeout=5)
        assert chunks.status_code == 400
    assert receiver.notifications == []
