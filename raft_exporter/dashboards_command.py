"""The command ``dashboards``: writes out the Grafana dashboards, as files or for Kubernetes."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import click

from raft_exporter.kubernetes import check_form, head, labels_of, namespace_of
from raft_exporter.reporting import reported
from raft_exporter.shipped import dashboard_texts, provisioning_texts, write_out

Format: TypeAlias = Literal["grafana", "kubernetes"]

_KUBERNETES_FILE: Final = "raft-exporter.dashboards.yml"
_FOUND_BY: Final = {"grafana_dashboard": "1"}
"""The label by which Grafana's Helm charts find dashboards, that of kube-prometheus-stack too."""


@click.command()
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory to write into; --format kubernetes prints one document without it.",
)
@click.option(
    "--format",
    "form",
    envvar="RAFT_EXPORTER_DASHBOARDS_FORMAT",
    type=click.Choice(get_args(Format)),
    default="grafana",
    show_default=True,
    help="JSON and provisioning files, or a ConfigMap for each dashboard.",
)
@click.option("--namespace", callback=namespace_of, help="With --format kubernetes: where they belong.")
@click.option(
    "--label",
    multiple=True,
    callback=labels_of,
    metavar="KEY=VALUE",
    help="With --format kubernetes: a label besides grafana_dashboard=1, or in its place. Repeatable.",
)
@reported
def dashboards(to: Path | None, *, form: Format, namespace: str | None, label: dict[str, str]) -> None:
    """Write the Grafana dashboards out.

    What they show and how to load them: docs/dashboards.md.
    """
    check_form(form, namespace, label)
    if form != "kubernetes" and to is None:
        raise click.UsageError("expected --to DIR: these are several files")
    texts = _files() if form == "grafana" else {_KUBERNETES_FILE: _config_maps(namespace, label)}
    if to is None:
        click.echo("".join(texts.values()), nl=False)
    else:
        for path in write_out(to, texts):
            click.echo(f"wrote {path}")


def _files() -> dict[str, str]:
    dashboards = {f"dashboards/{name}": text for name, text in dashboard_texts().items()}
    return dashboards | {f"provisioning/{name}": text for name, text in provisioning_texts().items()}


def _config_maps(namespace: str | None, labels: dict[str, str]) -> str:
    """Give one for each: all in one are more than ``kubectl apply`` can note down in it (256 KiB)."""
    return "---\n".join(
        f"{head('v1', 'ConfigMap', _resource_name(name), namespace, _FOUND_BY | labels)}"
        f"data:\n  {name}: |\n{textwrap.indent(text, '    ')}"
        for name, text in dashboard_texts().items()
    )


def _resource_name(name: str) -> str:
    return f"raft-exporter-dashboard-{name.removeprefix('raft-').removesuffix('.json')}"
