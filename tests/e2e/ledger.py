"""What the receivers were told about one cluster: each alert's story, and how often anybody was bothered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from raft_exporter.demo.receiver import Alert, Notification

_WHO: Final = ("peer", "reporter", "instance")


class Told(Struct, frozen=True, order=True):
    """One alert as it reaches a receiver: ``about`` is the member that it names, empty for the cluster."""

    receiver: str
    alert: str
    about: str = ""


ONCE: Final = ("firing", "resolved")
"""The story of an alert that is announced once, and taken back once."""


class Ledger:
    """All notifications about one cluster ("": the one without a label), oldest first."""

    def __init__(self, notifications: Iterable[Notification], cluster: str) -> None:
        self.notifications = [
            each
            for each in notifications
            if any(alert.labels.get("cluster", "") == cluster for alert in each.alerts)
        ]

    def stories(self) -> dict[Told, tuple[str, ...]]:
        """What each alert was said to be, one after the other; said again, it counts once.

        When a group is told something, Alertmanager also says of what it had inhibited in it that it is over:
        that is not to be announced.
        """
        words: defaultdict[Told, list[str]] = defaultdict(list)
        for notification in self.notifications:
            for alert in notification.alerts:
                words[_told(notification, alert)].append(alert.status)
        return {
            told: tuple(status for status, _ in groupby(said))
            for told, said in words.items()
            if "firing" in said
        }

    def bothered(self, receiver: str) -> dict[str, tuple[str, ...]]:
        """The status of every single notification of a receiver, by the group that it is about."""
        calls: defaultdict[str, list[str]] = defaultdict(list)
        for notification in self.notifications:
            if notification.receiver == receiver:
                calls[notification.group_key].append(notification.status)
        return {group: tuple(statuses) for group, statuses in calls.items()}

    def first_told(self) -> dict[Told, float]:
        """When each alert was first announced, Unix time in seconds."""
        times: dict[Told, float] = {}
        for notification in self.notifications:
            for alert in notification.alerts:
                if alert.status == "firing":
                    times.setdefault(_told(notification, alert), notification.at)
        return times

    def announced(self, wanted: Sequence[Told]) -> bool:
        """Whether each of these was announced."""
        return self.first_told().keys() >= set(wanted)

    def all_taken_back(self) -> bool:
        """Whether the last word about each alert is that it is over."""
        return all(story[-1] == "resolved" for story in self.stories().values())


def _told(notification: Notification, alert: Alert) -> Told:
    about = next((alert.labels[label] for label in _WHO if label in alert.labels), "")
    return Told(notification.receiver, alert.name, about)
