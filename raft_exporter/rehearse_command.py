"""The command ``rehearse``: what would have been judged under other thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raft_exporter.config import Config, NodeConfig, check
from raft_exporter.errors import ConfigError, StoreError
from raft_exporter.evidence_log import (
    Began,
    Losses,
    Record,
    newest,
    read_file,
    read_store,
    write_file,
)
from raft_exporter.model.judge import State
from raft_exporter.model.policy import DEFAULTS, Multiples, Policy
from raft_exporter.notation import format_duration, one_line, parse_duration, shown
from raft_exporter.rehearse import Change, Moment, Replay, Said, Summary, side_by_side, summaries
from raft_exporter.reporting import reported
from raft_exporter.terminal import COLOURS
from raft_exporter.wording import UNKNOWN, duration, local_time

_SHOWN: Final = 6
"""Delays of one member that are listed one by one."""


def _threshold(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        kind = type(getattr(DEFAULTS, name)) if name in Multiples.__struct_fields__ else None
        if not equals or kind is None:
            known = ", ".join(Multiples.__struct_fields__)
            raise click.BadParameter(f"expected THRESHOLD=NUMBER, got {shown(text)} (thresholds: {known})")
        try:
            found[name] = kind(number)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise click.BadParameter(f"expected {what} for {name}, got {shown(number)}") from None
    return found


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


_FILE: Final = click.Path(path_type=Path)


@click.command()
@click.option("--store", type=_FILE, help="The database of a sidecar (store.path); it may be in use.")
@click.option("--file", "file", type=_FILE, help="A file of evidence that --export wrote.")
@click.option(
    "--set",
    "thresholds",
    multiple=True,
    callback=_threshold,
    metavar="THRESHOLD=NUMBER",
    help="Another value of one threshold of the policy, such as gone_after=8. Repeatable.",
)
@click.option(
    "--heartbeat-timeout", callback=_seconds, help="Another HeartbeatTimeout to count in, such as 2s."
)
@click.option("--peer", "peers", multiple=True, help="Show this member alone. Repeatable.")
@click.option("--since", callback=_seconds, help="Show the end of the evidence alone, such as 2h.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--export", type=_FILE, help="Write the evidence to a new file instead; one named .gz is packed."
)
@reported
def rehearse(
    *,
    store: Path | None,
    file: Path | None,
    thresholds: dict[str, float],
    heartbeat_timeout: float | None,
    peers: tuple[str, ...],
    since: float | None,
    as_json: bool,
    export: Path | None,
) -> None:
    """Judge stored evidence again, under the recorded policy and under another, side by side.

    The policy is the only difference: the same evidence, judged at the same moments.
    """
    if (store is None) is (file is None):
        raise click.UsageError("expected one of --store and --file")
    losses = Losses()
    after = newest(store) - since if store is not None and since is not None else 0.0
    records = read_store(store, losses, after) if store is not None else read_file(file or Path())
    if export is not None:
        click.echo(f"{export}: {write_file(export, records)} records")
        _report(losses)
        return
    rehearsal = Rehearsal(Change(thresholds, heartbeat_timeout), since, frozenset(peers))
    rehearsal.run(records)
    if not rehearsal.records:
        raise StoreError("unavailable", f"{store or file}: expected evidence, got none")
    if as_json:
        click.echo(msgspec.json.encode(rehearsal.as_json(losses)))
    else:
        rehearsal.show(Console(), losses)


class Rehearsal:
    """Both replays of one log, and what is shown of them."""

    def __init__(self, change: Change, since: float | None, peers: frozenset[str]) -> None:
        self.records = 0
        self.policies: list[Policy] = []
        """The recorded policies, in the order in which they came into force."""
        self._change = change
        self._changed = bool(change.thresholds) or change.heartbeat_timeout is not None
        self._since = since
        self._peers = peers
        self._recorded = Replay()
        self._other = Replay(change)

    def run(self, records: Iterable[Record]) -> None:
        """Judge the records under both policies; ConfigError for thresholds that contradict each other."""
        for record in records:
            self.records += 1
            if isinstance(record, Began):
                self._note(record)
            self._recorded.feed(record)
            if self._changed:
                self._other.feed(record)

    def _note(self, record: Began) -> None:
        other = self._change.of(record.heartbeat_timeout, record.multiples)
        if self._changed:
            node = NodeConfig(heartbeat_timeout=other.heartbeat_timeout)
            check(Config(node=node, policy=other.multiples), "rehearse")
        recorded = Policy.of(record.heartbeat_timeout, record.multiples)
        if recorded not in self.policies[-1:]:
            self.policies.append(recorded)

    def _from(self) -> float:
        """The Unix time from which on things are shown."""
        return 0.0 if self._since is None else max(self._recorded.ends) - self._since

    def _moments(self) -> Iterator[Moment]:
        for moment in side_by_side(self._recorded.said, self._other.said):
            if moment.wall >= self._from() and (not self._peers or moment.peer in self._peers):
                yield moment

    def _summaries(self) -> Iterator[tuple[str, Summary, Summary]]:
        recorded, other = (
            summaries(each.said, self._recorded.ends, self._from()) for each in (self._recorded, self._other)
        )
        for peer in sorted(recorded.keys() | other.keys()):
            if not self._peers or peer in self._peers:
                yield peer, recorded.get(peer, Summary()), other.get(peer, Summary())

    def as_json(self, losses: Losses) -> dict[str, Any]:
        """Give everything as built-in types; times of day are Unix times, all else seconds."""
        return {
            "evidence": {
                "from": max(min(self._recorded.begins), self._from()),
                "to": max(self._recorded.ends),
                "records": self.records,
                "beginnings": len(self._recorded.begins),
                "damaged_blocks": losses.damaged,
                "cut_off_blocks": losses.cut_off,
            },
            "recorded_policies": self.policies,
            "change": self._change,
            "timeline": [
                {
                    "at": each.wall,
                    "peer": each.peer,
                    "recorded": _as_json(each.recorded),
                    "other": _as_json(each.other),
                }
                for each in self._moments()
            ],
            "members": [
                {"peer": peer, "recorded": recorded, "other": other if self._changed else None}
                for peer, recorded, other in self._summaries()
            ],
        }

    def show(self, console: Console, losses: Losses) -> None:
        """Print both timelines side by side, and what became of each member."""
        begin, end = max(min(self._recorded.begins), self._from()), max(self._recorded.ends)
        console.print(
            Text(f"{local_time(begin)} to {local_time(end)}: {self.records} records of evidence"),
            soft_wrap=True,
        )
        for fault, count in (("damaged", losses.damaged), ("cut off by a gap", losses.cut_off)):
            if count:
                console.print(Text(f"{count} blocks {fault}: not used", "yellow"), soft_wrap=True)
        console.print(Text(f"other policy: {self._difference()}"), soft_wrap=True)
        console.print(Text(), self._timeline(), Text(), self._table(), sep="\n")

    def _difference(self) -> str:
        changes = []
        timeout = self._change.heartbeat_timeout
        if timeout is not None:
            recorded = (format_duration(each.heartbeat_timeout) for each in self.policies)
            changes.append(_changed("HeartbeatTimeout", format_duration(timeout), recorded))
        for name, value in self._change.thresholds.items():
            recorded = (f"{getattr(each.multiples, name):g}" for each in self.policies)
            changes.append(_changed(name, f"{value:g}", recorded))
        return ", ".join(changes) or "none, see --set"

    def _timeline(self) -> Table:
        columns = ("recorded policy", "other policy") if self._changed else ("recorded policy",)
        table = _table("time", "member", *columns)
        session = None
        for moment in self._moments():
            if moment.session != session:
                session = moment.session
                table.add_row(_clock(self._recorded.begins[session]), "", Text("evidence begins", "dim"))
            cells = (_cell(moment.recorded), _cell(moment.other))[: len(columns)]
            table.add_row(_clock(moment.wall), Text(one_line(moment.peer)), *cells)
        return table

    def _table(self) -> Table:
        table = _table("member", "policy", "flips", "offline", "in all", "said after a silence of")
        for peer, recorded, other in self._summaries():
            rows = [("recorded", recorded), ("other", other)] if self._changed else [("recorded", recorded)]
            for name, each in rows:
                delays = [duration(delay) for delay in each.said_after]
                more = f", and {len(delays) - _SHOWN} more" if len(delays) > _SHOWN else ""
                table.add_row(
                    Text(one_line(peer) if each is recorded else ""),
                    name,
                    str(each.flips),
                    f"{len(delays)}x",
                    duration(each.offline_seconds),
                    ", ".join(delays[:_SHOWN]) + more or UNKNOWN,
                )
        return table


def _changed(name: str, value: str, recorded: Iterable[str]) -> str:
    return f"{name} {value} (recorded {', '.join(dict.fromkeys(recorded))})"


def _as_json(said: Said | None) -> dict[str, Any] | None:
    if said is None:
        return None
    verdict = said.verdict
    return {
        "before": said.before and said.before.state,
        "after": verdict and verdict.state,
        "reason": verdict and verdict.reason,
        "silent_for": said.silent_for,
    }


def _cell(said: Said | None) -> Text:
    if said is None:
        return Text()
    verdict = said.verdict
    if verdict is None:
        return Text("left", "dim")
    cell = Text.assemble((verdict.state, COLOURS[verdict.state]), f" ({verdict.reason})")
    if verdict.state is State.OFFLINE and said.before is not None and said.silent_for is not None:
        cell.append(f" after {duration(said.silent_for)}")
    return cell


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in {"time", "policy", "flips"})
    return table


def _clock(at: float) -> str:
    """Write a Unix time as local time, to a tenth of a second."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%m-%d %H:%M:%S.%f}"[:-5]


def _report(losses: Losses) -> None:
    if losses.damaged or losses.cut_off:
        what = f"{losses.damaged} damaged blocks, {losses.cut_off} cut off by a gap: left out"
        click.echo(f"raft-exporter: {what}", err=True)
