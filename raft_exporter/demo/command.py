"""``raft-exporter demo``."""

from __future__ import annotations

import click

from raft_exporter.demo.fault import Fault
from raft_exporter.demo.stage import Plan, play
from raft_exporter.demo.system import System
from raft_exporter.errors import ConfigError
from raft_exporter.notation import parse_duration
from raft_exporter.reporting import reported


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option(
    "--system",
    type=click.Choice([each.value for each in System]),
    help="What the nodes are: raftnode, which needs Go and a checkout, or OpenBao. By default raftnode where "
    "it can be had, else OpenBao.",
)
@click.option("--for", "lasts", callback=_seconds, metavar="DURATION", help="End after so long, such as 30s.")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 0 only if every sidecar's metrics show one leader, the others as followers, and all "
    "online. Ends as soon as that is so, after 30s at the latest; with --for, looks at the end.",
)
@click.option(
    "--fault",
    type=click.Choice([each.value for each in Fault]),
    help="Kill or freeze a follower, or stall the leader's log store; then tell who noticed what, and when.",
)
@click.option(
    "--fault-after",
    default="10s",
    show_default=True,
    callback=_seconds,
    metavar="DURATION",
    help="With --fault: when. Without --for, the demo ends 30s later.",
)
@reported
def demo(system: str | None, lasts: float | None, check: bool, fault: str | None, fault_after: float) -> None:
    """Run a real cluster of three nodes on this machine, with their sidecars, until Ctrl-C.

    Prometheus and Alertmanager run beside it where they are installed.
    """
    if fault and check:
        raise click.UsageError("--check asks for a whole cluster, --fault breaks it: expected one of them")
    if fault and lasts is not None and lasts <= fault_after:
        raise click.UsageError("--for: expected more than --fault-after, or there is no fault to see")
    plan = Plan(
        lasts=lasts,
        check=check,
        fault=Fault(fault) if fault else None,
        fault_after=fault_after,
        system=System(system) if system else None,
    )
    play(plan)
