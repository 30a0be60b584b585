"""The table as metric families: one custom Collector, nothing kept between two scrapes.

``python -m raft_exporter.exposition`` writes docs/metrics.md.
"""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from raft_exporter import __version__, metrics
from raft_exporter.logs import OUTPUT
from raft_exporter.metrics import Kind, Metric
from raft_exporter.model.evidence import ObservationKind, Outcome, Role, Suffrage
from raft_exporter.model.histogram import Histogram
from raft_exporter.model.judge import NEVER, State
from raft_exporter.model.override import FORCED
from raft_exporter.model.table import Table
from raft_exporter.reloads import Reloads

CONTENT_KIND: Final = "raft"
"""The ``kind`` of a node that speaks through the observer or the native probe alone."""

Sample = tuple[tuple[str, ...], float | None]


class TableCollector(Collector):
    """A view of the table at the moment of the scrape.

    ``now`` gives the observed time, ``perf`` a monotonic and ``wall`` the Unix time, ``lag`` the lateness
    of the judging; all in seconds. ``store_errors`` gives how often the store failed, ``kind`` which system
    the node is, None where that is not known, ``reloads`` what became of reading the configuration (by
    default: it was taken when this was made).
    """

    def __init__(
        self,
        table: Table,
        *,
        now: Callable[[], float],
        perf: Callable[[], float],
        wall: Callable[[], float],
        lag: Callable[[], float],
        store_errors: Callable[[], int],
        kind: Callable[[], str | None] = lambda: None,
        reloads: Callable[[], Reloads] | None = None,
    ) -> None:
        self._table = table
        self._now = now
        self._perf = perf
        self._wall = wall
        self._lag = lag
        self._store_errors = store_errors
        self._kind = kind
        started = Reloads(successful=True, succeeded_at=wall())
        self._reloads = reloads or (lambda: started)

    def collect(self) -> Iterator[Family]:
        """Give every family of the catalogue (prometheus_client.registry.Collector)."""
        began = self._perf()
        now = self._now()
        yield from self._node(now)
        yield from self._cluster(now)
        yield from self._peers(now)
        yield from self._exporter()
        yield _scalar(metrics.SCRAPE_DURATION, self._perf() - began)

    def _node(self, now: float) -> Iterator[Family]:
        table, node = self._table, self._table.node
        status = node.status
        role = table.role(now)
        own = table.own
        yield _scalar(metrics.NODE_UP, table.up(now))
        info = (
            node.id or "",
            node.address or "",
            self._kind() or CONTENT_KIND,
            str(status.protocol_version) if status and status.protocol_version is not None else "",
        )
        yield _family(metrics.NODE_INFO, [(info, 1)])
        yield _family(metrics.NODE_ROLE, _one_of(Role, role))
        for metric, teller, field in (
            (metrics.NODE_TERM, own or status, "term"),
            (metrics.NODE_LAST_LOG_INDEX, own or status, "last_log_index"),
            (metrics.NODE_COMMIT_INDEX, status, "commit_index"),
            (metrics.NODE_APPLIED_INDEX, status, "applied_index"),
            (metrics.NODE_SNAPSHOT_INDEX, status, "snapshot_index"),
            (metrics.NODE_FSM_PENDING, status, "fsm_pending"),
        ):
            yield _scalar(metric, getattr(teller, field, None))
        known = table.configuration is not None and node.id is not None
        yield _scalar(
            metrics.NODE_VOTER,
            (own is not None and own.server.suffrage is Suffrage.VOTER) if known else None,
        )
        yield _scalar(metrics.NODE_IN_CONFIGURATION, (own is not None) if known else None)
        leads = table.has_leader(now)
        yield _scalar(metrics.NODE_HAS_LEADER, leads if table.node_up(now) else None)
        yield _scalar(metrics.NODE_ISOLATED, table.isolated)
        named = table.leader(now)
        leader = (named, node.leader_address) if named is not None else ("", "")
        yield _family(metrics.NODE_LEADER_INFO, [(leader, 1)])
        yield _scalar(metrics.NODE_LEADER_SILENCE, table.leader_silence(now))
        yield _scalar(metrics.NODE_MAIN_LOOP_SILENCE, table.main_loop_silence(now))
        yield _scalar(metrics.NODE_LEADER_CHANGES, node.leader_changes_total)
        yield _scalar(metrics.NODE_ELECTIONS, node.elections_total)

    def _cluster(self, now: float) -> Iterator[Family]:
        table = self._table
        suffrages = [member.server.suffrage for member in table.members.values()]
        yield _family(
            metrics.CLUSTER_MEMBERS,
            [((each,), suffrages.count(each) if suffrages else None) for each in Suffrage],
        )
        quorum = table.quorum(now)
        yield _scalar(metrics.CLUSTER_QUORUM, quorum.quorum if quorum else None)
        yield _scalar(metrics.CLUSTER_VOTERS_ONLINE, quorum.voters_online if quorum else None)
        yield _scalar(metrics.CLUSTER_FAILURE_TOLERANCE, quorum.failure_tolerance if quorum else None)
        yield _scalar(metrics.CONFIGURATION_INDEX, table.configuration.index if table.configuration else None)

    def _peers(self, now: float) -> Iterator[Family]:
        rows = {metric: list[Sample]() for metric in metrics.METRICS if metric.name.startswith("raft_peer_")}
        heartbeats: list[tuple[tuple[str, ...], Histogram]] = []
        probes: list[tuple[tuple[str, ...], Histogram]] = []
        wall = self._wall()
        for peer, member in self._table.members.items():
            server = member.server
            rows[metrics.PEER_INFO].append(((peer, server.address, server.suffrage), 1))
            rows[metrics.PEER_STATE] += _one_of(State, self._table.shown_state(peer), peer)
            rows[metrics.PEER_JUDGED_STATE] += _one_of(State, member.verdict.state, peer)
            rows[metrics.PEER_STATE_AGE].append(((peer,), max(now - member.verdict.since, 0.0)))
            rows[metrics.PEER_SILENCE] += [
                ((peer, "heartbeat"), member.heartbeat_silence(now)),
                ((peer, "raft"), member.main_loop_silence(now)),
                ((peer, "sidecar"), member.sidecar_silence(now)),
                ((peer, "report"), member.report_silence(now)),
                ((peer, "any"), member.silence(now)),
            ]
            override = self._table.overrides.get(peer)
            rows[metrics.PEER_OVERRIDE] += _one_of(FORCED, override.state if override else "", peer)
            rows[metrics.PEER_OVERRIDE_EXPIRY].append(((peer,), override.expires_at if override else 0))
            rows[metrics.PEER_FLAPPING].append(((peer,), member.verdict.flapping))
            at = max(member.contact_at, member.restored_contact_at)
            rows[metrics.PEER_LAST_CONTACT].append(((peer,), wall - (now - at) if at > NEVER else 0))
            rows[metrics.PEER_HEARTBEATS].append(((peer,), member.heartbeats_total))
            rows[metrics.PEER_HEARTBEAT_FAILURES].append(((peer,), member.heartbeat_failures_total))
            rows[metrics.PEER_TERM].append(((peer,), member.term))
            rows[metrics.PEER_LAST_LOG_INDEX].append(((peer,), member.last_log_index))
            rows[metrics.PEER_TRANSITIONS] += [((peer, to), member.transitions[to]) for to in State]
            heartbeats.append(((peer,), member.heartbeats))
            for kind, record in member.probes.items():
                rows[metrics.PEER_PROBES].append(((peer, kind), record.total))
                rows[metrics.PEER_PROBE_FAILURES] += [
                    ((peer, kind, reason), record.failures[reason])
                    for reason in Outcome
                    if reason is not Outcome.OK
                ]
                probes.append(((peer, kind), record.durations))
        for metric, samples in rows.items():
            if metric is metrics.PEER_HEARTBEAT_DURATION:
                yield _histograms(metric, heartbeats)
            elif metric is metrics.PEER_PROBE_DURATION:
                yield _histograms(metric, probes)
            else:
                yield _family(metric, samples)

    def _exporter(self) -> Iterator[Family]:
        intake = self._table.intake
        yield _family(
            metrics.THRESHOLD, [((name,), value) for name, value in self._table.policy.thresholds().items()]
        )
        yield _family(metrics.BUILD_INFO, [((__version__, platform.python_version()), 1)])
        reloads = self._reloads()
        yield _scalar(metrics.RELOAD_SUCCESSFUL, reloads.successful)
        yield _scalar(metrics.RELOAD_SUCCESS_TIMESTAMP, reloads.succeeded_at)
        yield _family(metrics.SOURCE_UP, [((source,), up) for source, up in intake.up.items()])
        yield _family(
            metrics.OBSERVATIONS, [((kind,), intake.observations[kind]) for kind in ObservationKind]
        )
        yield _scalar(metrics.OBSERVATIONS_DROPPED, intake.dropped)
        yield _family(metrics.REJECTED, list(intake.rejected.items()))
        yield _scalar(metrics.EVENT_LOOP_LAG, self._lag())
        yield _family(metrics.LOG_MESSAGES, [((level,), count) for level, count in OUTPUT.written.items()])
        yield _scalar(metrics.LOG_MESSAGES_SUPPRESSED, OUTPUT.suppressed)
        yield _scalar(metrics.STORE_ERRORS, self._store_errors())


def registry_of(collector: TableCollector) -> CollectorRegistry:
    """Give a registry of its own to one sidecar: two in one process share only what is its."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    _add_standard(registry)
    return registry


def markdown() -> str:
    """Write docs/metrics.md."""
    standard = CollectorRegistry(auto_describe=False)
    _add_standard(standard)
    lines = [
        "# Metrics",
        "",
        "Generated from `raft_exporter/metrics.py` by `make docs`; a test holds that the two agree.",
        "",
        "No label is on every metric: `cluster`, `instance` and `job` belong to Prometheus. `peer` is the "
        "stable server id. Every series of a member exists from the moment it is known, and goes when the "
        "member leaves the configuration. What is not known is NaN, never a made-up zero.",
        "",
        *_HEAD,
        *(_row(metric.name, metric.kind, metric.labels, metric.help) for metric in metrics.METRICS),
        "",
        "## Of the process",
        "",
        "The standard ones of Prometheus' Python client. `process_*` is read from `/proc`, and is left out "
        "where there is none.",
        "",
        *_HEAD,
        *(_standard_row(family) for family in standard.collect()),
    ]
    return "\n".join(lines) + "\n"


_HEAD: Final = ("| metric | type | labels | meaning |", "|---|---|---|---|")


def _add_standard(registry: CollectorRegistry) -> None:
    """Add what is known of any process and of any Python, under the names that are the same everywhere."""
    for kind in (ProcessCollector, PlatformCollector, GCCollector):
        kind(registry=registry)


def _row(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"


def _standard_row(family: Family) -> str:
    sample = family.samples[0]
    return _row(sample.name, family.type, sample.labels, f"{family.documentation.rstrip('.')}.")


def _one_of(states: Iterable[str], current: str, *labels: str) -> list[Sample]:
    return [((*labels, each), each == current) for each in states]


def _scalar(metric: Metric, value: float | None) -> Family:
    return _family(metric, [((), value)])


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    family: CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily
    if metric.kind is Kind.INFO:
        family = InfoMetricFamily(metric.family, metric.help, labels=())
        for labels, _ in samples:
            family.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return family
    maker = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = maker(metric.family, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, math.nan if value is None else float(value))
    return family


def _histograms(metric: Metric, samples: Iterable[tuple[tuple[str, ...], Histogram]]) -> Family:
    family = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels)
    for labels, histogram in samples:
        buckets = [(floatToGoString(bound), float(count)) for bound, count in histogram.cumulative()]
        family.add_metric(labels, buckets=buckets, sum_value=histogram.total)
    return family


if __name__ == "__main__":
    sys.stdout.write(markdown())
