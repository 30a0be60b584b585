"""``raft-exporter override``: the operator's word about a member, which goes before the judgement."""

from __future__ import annotations

import getpass

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raft_exporter.answers import StandingOverride
from raft_exporter.asking import client_of, url_option
from raft_exporter.errors import ConfigError
from raft_exporter.model.override import FORCED, IGNORE, MAX_SECONDS
from raft_exporter.notation import format_duration, one_line, parse_duration
from raft_exporter.reporting import reported
from raft_exporter.wording import duration, local_time


def _seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error
    if not 0 < seconds <= MAX_SECONDS:
        raise click.BadParameter(
            f"expected more than 0s and at most {format_duration(MAX_SECONDS)}, got {text}"
        )
    return seconds


def _author(_: click.Context, __: click.Parameter, text: str | None) -> str:
    if text:
        return text
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise click.BadParameter("expected a name: this user has none") from error


_author_option = click.option(
    "--author", callback=_author, help="Who says so; by default the name of the user."
)


@click.group()
def override() -> None:
    """Set, clear and list overrides: they mask what is shown of a member, the judgement goes on.

    An override spreads to the sidecars of all members. Where the sidecar has a token, it has to be in the
    environment: RAFT_EXPORTER_TOKEN. Without one, overrides can be set on the sidecar's own machine alone.
    """


@override.command("set")
@click.argument("peer")
@click.argument("state", type=click.Choice(FORCED))
@click.option(
    "--for",
    "seconds",
    default="1h",
    show_default=True,
    callback=_seconds,
    help="For how long, such as 30m or 2d; at most 30d.",
)
@click.option("--reason", required=True, help="Why; everybody sees it.")
@_author_option
@url_option
@reported
def set_override(peer: str, state: str, *, seconds: float, reason: str, author: str, url: str) -> None:
    """Show the member PEER as STATE, or raise no alert for it (ignore)."""
    answer = client_of(url).set_override(peer, state, seconds, author, reason)
    told = answer.override
    what = "ignored" if told.state == IGNORE else f"shown as {told.state}"
    click.echo(
        one_line(f"{told.peer} is {what} until {local_time(told.expires_at)} by {told.author}: {told.reason}")
    )
    if not answer.stored:
        click.echo("raft-exporter: it is not stored: a restart of this sidecar forgets it", err=True)


@override.command("clear")
@click.argument("peer")
@click.option("--reason", help="Why.")
@_author_option
@url_option
@reported
def clear_override(peer: str, reason: str | None, author: str, url: str) -> None:
    """End the override of the member PEER."""
    answer = client_of(url).clear_override(peer, author, reason)
    click.echo(one_line(f"the override of {answer.peer} is cleared"))
    if not answer.stored:
        click.echo("raft-exporter: that is not stored: a restart of this sidecar forgets it", err=True)


@override.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the sidecar's answer as one JSON object.")
@url_option
@reported
def list_overrides(as_json: bool, url: str) -> None:
    """List the overrides that stand."""
    answer = client_of(url).overrides()
    if as_json:
        click.echo(msgspec.json.encode(answer))
    elif not answer.overrides:
        click.echo("no override stands")
    else:
        Console().print(_table(answer.overrides))


def _table(overrides: tuple[StandingOverride, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("member", "state", "for", "until", "author", "reason"):
        table.add_column(column, justify="right" if column == "for" else "left", overflow="fold")
    for each in overrides:
        left, until = duration(each.expires_in_seconds), local_time(each.expires_at)
        cells = (each.peer, each.state, left, until, each.author, each.reason)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    return table
