"""The demo's course: watch the cluster, inject the fault, end in time, tell what was seen."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import requests
from msgspec import Struct

from raft_exporter.demo.cluster import Process, SidecarProcess
from raft_exporter.demo.display import Display, Glance, display, places
from raft_exporter.demo.fault import Fault, Injected, inject
from raft_exporter.demo.health import Sight, missing, read_metrics
from raft_exporter.demo.monitoring import Monitoring, Watch, shipped_rules, told_to
from raft_exporter.demo.receiver import Receiver
from raft_exporter.demo.staged import StagedCluster, StagedNode
from raft_exporter.demo.stop import StopSignal
from raft_exporter.demo.system import System, available, staged
from raft_exporter.demo.timeline import Said, from_alertmanager, from_sidecar, merged, written
from raft_exporter.demo.writer import Writer
from raft_exporter.errors import ClientError, DemoError
from raft_exporter.view import ClusterView

_TICK: Final = 0.2
_CHECK_WITHIN: Final = 30.0
_AFTER_FAULT: Final = 30.0


class Plan(Struct, frozen=True):
    """What is to be shown; times in seconds. ``lasts`` None: as long as it takes, or until it is stopped.

    ``system`` None: raftnode where it can be had, else OpenBao.
    """

    lasts: float | None = None
    check: bool = False
    fault: Fault | None = None
    fault_after: float = 10.0
    system: System | None = None


def play(plan: Plan) -> None:
    """Run the demo; DemoError when it can't be run, or when what was to be checked does not hold."""
    system = available(plan.system, plan.fault)  # what can't start at all leaves no logs behind
    if system is System.OPENBAO:
        why = "" if plan.system else "raftnode needs Go and a checkout of the repository; in its place, "
        click.echo(f"{why}three OpenBao servers start: that takes some 15 s")
    with StopSignal() as stop, _home() as home:
        cluster = staged(system, home)
        with (
            cluster,
            Receiver() as receiver,
            Monitoring(home, _watch(home, cluster.targets, receiver)) as monitoring,
            Writer(list(cluster.nodes.values())) as writer,
        ):
            click.echo(places(cluster, monitoring))
            stage = _Stage(
                plan, cluster=cluster, monitoring=monitoring, receiver=receiver, writer=writer, stop=stop
            )
            with display() as shown:
                stage.watch(shown)
            stage.conclude()


class _Examination(Struct, frozen=True):
    """What the sidecars' metrics and Prometheus show, and what is missing, a line each."""

    sights: list[Sight]
    prometheus: str
    faults: list[str]


class _Stage:
    def __init__(
        self,
        plan: Plan,
        *,
        cluster: StagedCluster,
        monitoring: Monitoring,
        receiver: Receiver,
        writer: Writer,
        stop: StopSignal,
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._monitoring = monitoring
        self._receiver = receiver
        self._writer = writer
        self._stop = stop
        self._began = time.monotonic()
        self._injected: Injected | None = None
        self._examined: _Examination | None = None

    def watch(self, shown: Display) -> None:
        """Show the cluster until the demo is over."""
        while True:
            self._nobody_died()
            views = {node: _view(sidecar) for node, sidecar in self._cluster.sidecars.items()}
            elapsed = self._elapsed()
            fault = self._injected.text if self._injected else None
            told = [f"{said.speaker}: {said.text}" for said in self._told()]
            shown.show(
                Glance(elapsed=elapsed, views=views, writes=self._writer.progress, fault=fault, told=told)
            )
            if self._over(elapsed):
                return
            self._inject_when_due(elapsed)
            time.sleep(_TICK)

    def conclude(self) -> None:
        """Tell what was seen; DemoError when what was to be checked does not hold."""
        if self._injected is not None:
            self._tell(self._injected)
        if self._plan.check:
            self._tell_check()

    def _over(self, elapsed: float) -> bool:
        plan = self._plan
        if self._stop.wanted:
            return True
        if plan.lasts is not None:
            return elapsed >= plan.lasts
        if plan.check:
            self._examined = self._examine()
            return elapsed >= _CHECK_WITHIN or not self._examined.faults
        return self._injected is not None and time.time() >= self._injected.at + _AFTER_FAULT

    def _inject_when_due(self, elapsed: float) -> None:
        plan = self._plan
        if plan.fault is None or self._injected is not None or elapsed < plan.fault_after:
            return
        # Only what happens to a cluster that is whole can be told from its start.
        faults = missing(self._sights(), self._cluster.nodes)
        if not faults:
            self._injected = inject(plan.fault, self._cluster)
            self._writer.mark()
        elif elapsed >= plan.fault_after + _CHECK_WITHIN:
            raise DemoError(f"no fault was injected, for the cluster was not whole: {'; '.join(faults)}")

    def _told(self) -> list[Said]:
        return list(from_alertmanager(self._receiver.notifications))

    def _sights(self) -> list[Sight]:
        sidecars = self._cluster.sidecars.items()
        return [sight for node, sidecar in sidecars for sight in _scraped(node, sidecar)]

    def _examine(self) -> _Examination:
        """Scrape every sidecar, and ask Prometheus."""
        sights = self._sights()
        faults = missing(sights, self._cluster.nodes)
        if self._monitoring.prometheus is None:
            return _Examination(sights, "Prometheus is not installed: its targets were not looked at", faults)
        up, wanted = self._monitoring.targets_up(), len(self._cluster.sidecars)
        if up != wanted:
            faults.append(f"Prometheus: expected {wanted} targets up, got {up}")
        return _Examination(sights, f"Prometheus: {up} of {wanted} targets up", faults)

    def _tell_check(self) -> None:
        examined = self._examined or self._examine()
        for line in (*examined.sights, examined.prometheus):
            click.echo(f"check: {line}")
        if examined.faults:
            raise DemoError(f"the check failed: {'; '.join(examined.faults)}")
        click.echo("check: ok")

    def _tell(self, injected: Injected) -> None:
        answering = [node for node in self._cluster.nodes.values() if node.id != injected.node]
        if injected.fault is Fault.STALL_STORE:
            answering.append(self._cluster.nodes[injected.node])
        raft = [said for node in answering for said in self._cluster.raft_said(node.id)]
        sidecars = [
            said
            for node, sidecar in self._cluster.sidecars.items()
            for said in from_sidecar(node, sidecar.log.read_text().splitlines())
        ]
        since = injected.at
        click.echo(f"\n{'+0.00':>8} s  {'fault':<20}  {injected.text}")
        for line in written(merged(raft, sidecars, self._told(), since=since), since):
            click.echo(line)
        if not any(said.at >= since for said in raft):
            click.echo("\nhashicorp/raft said nothing.")
        if injected.fault is Fault.STALL_STORE:
            click.echo(f"\n{self._who_leads(self._cluster.nodes[injected.node], since)}")

    def _who_leads(self, stalled: StagedNode, since: float) -> str:
        leads = stalled.leads()
        after = f"{time.time() - since:.0f} s after its log store stalled"
        if leads is None:
            return f"{stalled.id} does not answer, {after}."
        if not leads:
            return f"hashicorp/raft no longer calls {stalled.id} the leader, {after}."
        writes = self._writer.since_mark
        fate = f"{writes.committed or 'none'} of {writes.committed + writes.failed} writes since committed"
        return f"hashicorp/raft still calls {stalled.id} the leader, {after}, with {fate}."

    def _nobody_died(self) -> None:
        """DemoError when a child ended that was not killed on purpose."""
        children: list[StagedNode | Process] = [
            *self._cluster.nodes.values(),
            *self._cluster.sidecars.values(),
            *self._monitoring.processes,
        ]
        killed = self._injected.node if self._injected and self._injected.fault is Fault.KILL else None
        for child in children:
            if not child.running and child.name != killed:
                raise DemoError(f"{child.name} ended by itself; see {child.log}")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _watch(home: Path, targets: list[str], receiver: Receiver) -> Watch:
    """The shipped rules, and Alertmanager's example as it stands but for whom it tells."""
    return Watch({"demo": targets}, shipped_rules(home), alertmanager=told_to(receiver.url))


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A directory for sockets, data and logs; it stays behind when the demo fails, for the logs."""
    home = Path(tempfile.mkdtemp(prefix="raft-exporter-demo-"))
    try:
        yield home
    except BaseException:
        click.echo(f"logs are kept in {home}", err=True)
        raise
    shutil.rmtree(home)


def _view(sidecar: SidecarProcess) -> ClusterView | None:
    try:
        return sidecar.cluster()
    except ClientError:
        return None


def _scraped(node: str, sidecar: SidecarProcess) -> Iterator[Sight]:
    with contextlib.suppress(requests.RequestException):
        yield read_metrics(node, sidecar.metrics())
