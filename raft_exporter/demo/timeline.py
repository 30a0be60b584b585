"""Who said what after a fault: hashicorp/raft's observations and the sidecars' verdicts on one time line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from raft_exporter.demo.receiver import Notification

_PAIR: Final = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S*)')

_RAFT_LINE: Final = re.compile(
    r"(?P<at>\S+) \[[A-Z]+\] +storage\.raft: "
    r"(failed to heartbeat to: peer=(?P<peer>\S+)|entering (?P<state>\w+) state:)"
)


class Said(Struct, frozen=True):
    """One thing said. ``at`` is Unix time in seconds; ``times`` of the same thing, ``last_at`` the last."""

    at: float
    speaker: str
    about: str
    text: str
    times: int = 1
    last_at: float = 0.0


class _Observation(Struct):
    """One observation as raftnode's ``/observations`` tells it."""

    unix_ms: float
    kind: str
    peer: str = ""
    leader_id: str = ""
    state: str = ""
    removed: bool = False
    term: int = 0
    candidate: str = ""


def from_raft(node: str, observations: list[dict[str, Any]]) -> Iterator[Said]:
    """Read what hashicorp/raft told its observer on ``node``."""
    for seen in msgspec.convert(observations, list[_Observation]):
        about, text = _in_words(node, seen)
        yield Said(at=seen.unix_ms / 1000, speaker=f"hashicorp/raft on {node}", about=about, text=text)


def from_openbao(node: str, log: Iterable[str], ids: Mapping[str, str]) -> Iterator[Said]:
    """Read what hashicorp/raft said in the log of an OpenBao server; ``ids`` are by Raft address."""
    for line in log:
        found = _RAFT_LINE.match(line)
        if found is None:
            continue
        if found["peer"]:
            about = ids.get(found["peer"], found["peer"])
            text = f"heartbeat to {about} failed"
        else:
            about, text = node, f"{node} is {found['state'].capitalize()}"
        at = datetime.fromisoformat(found["at"]).timestamp()
        yield Said(at=at, speaker=f"hashicorp/raft on {node}", about=about, text=text)


def from_sidecar(node: str, log: Iterable[str]) -> Iterator[Said]:
    """Read the changes of state out of the log, in logfmt, of the sidecar beside ``node``."""
    for line in log:
        pairs = {key: _unquoted(value) for key, value in _PAIR.findall(line)}
        if pairs.get("msg") == "member state changed":
            yield Said(
                at=datetime.fromisoformat(pairs["ts"]).timestamp(),
                speaker=f"sidecar of {node}",
                about=pairs["peer"],
                text=f"{pairs['peer']} is {pairs['after']} ({pairs['reason']}), was {pairs['before']}",
            )


def from_alertmanager(notifications: Iterable[Notification]) -> Iterator[Said]:
    """Read whom Alertmanager told what: each alert when it is announced and when it is taken back."""
    before: dict[tuple[str, ...], str] = {}
    for notification in notifications:
        for alert in notification.alerts:
            about = alert.labels.get("peer", "")
            key = (notification.receiver, alert.name, about)
            was, before[key] = before.get(key), alert.status
            if alert.status != was and (alert.status == "firing" or was == "firing"):
                name = f"{alert.name} {about}".strip()
                over = "" if alert.status == "firing" else " (resolved)"
                yield Said(
                    at=notification.at,
                    speaker=f"Alertmanager: {notification.receiver}",
                    about=name,
                    text=f"{name}{over}: {alert.annotations.get('summary', '')}",
                )


def merged(*voices: Iterable[Said], since: float) -> list[Said]:
    """Put all that was said from ``since`` on in order of time.

    A speaker that says the same of the same member again and again is heard once, with a count.
    """
    spoken = sorted(
        (each for voice in voices for each in voice if each.at >= since), key=lambda each: each.at
    )
    lines: list[Said] = []
    latest: dict[tuple[str, str], int] = {}
    for each in spoken:
        place = latest.get((each.speaker, each.about))
        if place is not None and lines[place].text == each.text:
            before = lines[place]
            lines[place] = msgspec.structs.replace(before, times=before.times + 1, last_at=each.at)
            continue
        latest[each.speaker, each.about] = len(lines)
        lines.append(each)
    return lines


def written(lines: Iterable[Said], since: float) -> Iterator[str]:
    """Write each line with its time after ``since``."""
    for line in lines:
        again = f" (and {line.times - 1} more until +{line.last_at - since:.2f} s)" if line.times > 1 else ""
        yield f"{line.at - since:+8.2f} s  {line.speaker:<20}  {line.text}{again}"


def _in_words(node: str, seen: _Observation) -> tuple[str, str]:
    match seen.kind:
        case "failed_heartbeat":
            return seen.peer, f"heartbeat to {seen.peer} failed"
        case "resumed_heartbeat":
            return seen.peer, f"heartbeat to {seen.peer} resumed"
        case "leader":
            return node, f"its leader is {seen.leader_id}" if seen.leader_id else "it has no leader"
        case "state":
            return node, f"{node} is {seen.state}"
        case "peer":
            return seen.peer, f"{seen.peer} was {'removed' if seen.removed else 'added'}"
        case "request_vote":
            return seen.candidate, f"{seen.candidate} asks for a vote in term {seen.term}"
        case "request_pre_vote":
            return seen.candidate, f"{seen.candidate} asks whether it would get a vote in term {seen.term}"
        case _:
            return seen.peer, seen.kind


def _unquoted(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value
