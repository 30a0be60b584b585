"""How numbers and events are written for people, on the page, in the API and in the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from raft_exporter.journal import Entry, EntryKind
from raft_exporter.model.evidence import Role, Suffrage
from raft_exporter.model.judge import Reason, State
from raft_exporter.model.override import IGNORE, Override
from raft_exporter.view import ClusterView, NodeView, QuorumView

UNKNOWN = "-"

REASONS: Final = {
    Reason.NO_EVIDENCE: "nothing has spoken of it yet",
    Reason.JOINED: "it joined a short while ago",
    Reason.RESTORED: "it was so before this sidecar restarted",
    Reason.ISOLATED: "this node reaches no majority itself",
    Reason.FRESH: "it is heard",
    Reason.INSTALLING_SNAPSHOT: "it is receiving a snapshot",
    Reason.REFUSED: "its host refuses connections to the Raft port",
    Reason.PROCESS_GONE: "its own sidecar finds the Raft port closed",
    Reason.RECOVERING: "it answers again, but not yet for long enough",
    Reason.MAIN_LOOP_SILENT: "its main loop does not answer, though its process is heard",
    Reason.PROCESS_SILENT: "its host lives, its process says nothing",
    Reason.BAD_ANSWER: "something else answers at its address",
    Reason.HEARD_BY_OTHERS: "this node hears nothing of it, others do",
    Reason.SILENT: "it is not heard",
    Reason.SILENT_FOR_ALL: "nobody hears anything of it",
}
"""Why a member is judged what it is, as the end of a sentence."""


def duration(seconds: float | None) -> str:
    """Write seconds with as many digits as help: ``0.31s``, ``12s``, ``3m20s``, ``5h02m``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.2f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def local_time(at: float) -> str:
    """Write a Unix time as local time with its offset; one that no calendar has as the number that it is."""
    when = _local(at)
    return f"{at:g}" if when is None else when.isoformat(" ", "seconds")


def short_time(at: float) -> str:
    """Write a Unix time as local time where there is little room, without year and offset."""
    when = _local(at)
    return f"{at:g}" if when is None else f"{when:%m-%d %H:%M:%S}"


def _local(at: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def office(node: NodeView) -> str:
    """Write what the node says it is; the word for a member's state must not stand for it."""
    return "of unknown role" if node.role is Role.UNKNOWN else str(node.role)


def leadership(node: NodeView) -> str:
    """Write whom the node follows; a node that says nothing has not lost its leader."""
    if node.leader is not None:
        return f"leader {node.leader}"
    return "leader not told" if node.role is Role.UNKNOWN else "no known leader"


def margin(quorum: QuorumView) -> tuple[str, str]:
    """Write how many voters are online, and how many may fail."""
    if quorum.failure_tolerance is None:
        return "voters not heard yet", "failure tolerance not known"
    online = f"{quorum.voters_online} of {quorum.voters} voters online, quorum {quorum.quorum}"
    return online, f"failure tolerance {quorum.failure_tolerance}"


def outlook(view: ClusterView) -> str:
    """Write what the failure tolerance means. No quorum is lost that voters of unknown state could make."""
    quorum, tolerance = view.quorum, view.quorum.failure_tolerance
    if tolerance is None or not quorum.voters:
        return "not known how many may fail"
    if tolerance >= 0:
        return f"{tolerance} more may fail" if tolerance else "none may fail"
    unknown = sum(
        member.suffrage is Suffrage.VOTER and member.state is State.UNKNOWN for member in view.members
    )
    return "quorum lost" if tolerance + unknown < 0 else f"quorum unsure, {unknown} unknown"


def index(number: int | None) -> str:
    """Write a term, an index or another whole number."""
    return UNKNOWN if number is None else str(number)


def sentence(entry: Entry) -> str:
    """Write what happened, as an operator reads it."""
    override = entry.override
    if override is not None:
        return _operators_word(entry.kind, override)
    was = f" (was {entry.before} for {duration(entry.before_for)})" if entry.before is not None else ""
    match entry.kind:
        case EntryKind.STARTED:
            return "this sidecar started"
        case EntryKind.ISOLATED:
            return "this node is isolated: it reaches no majority of the voters, and blames nobody"
        case EntryKind.REJOINED:
            return "this node reaches a majority of the voters again"
        case EntryKind.JOINED:
            return f"{entry.peer} joined the cluster"
        case EntryKind.LEFT:
            return f"{entry.peer} left the cluster{was}"
        case EntryKind.STATE:
            why = f": {REASONS[entry.reason]}" if entry.reason is not None else ""
            return f"{entry.peer} is {entry.after}{why}{was}"
        case _:
            return f"{entry.peer}: {entry.kind.replace('_', ' ')}"


def _operators_word(kind: EntryKind, override: Override) -> str:
    peer, author = override.peer, override.author
    because = f": {override.reason}" if override.reason else ""
    if kind is EntryKind.OVERRIDE_CLEARED:
        return f"the override of {peer} was cleared by {author}{because}"
    what = "ignored" if override.state == IGNORE else f"shown as {override.state}"
    if kind is EntryKind.OVERRIDE_EXPIRED:
        return f"{peer} is no longer {what}: the override by {author} expired"
    return f"{peer} is {what} for {duration(override.expires_at - override.set_at)} by {author}{because}"
