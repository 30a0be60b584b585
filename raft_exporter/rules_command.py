"""The command ``rules``: writes out the recording and alert rules, for whom and as what they are wanted."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import click

from raft_exporter.kubernetes import check_form, head, labels_of, namespace_of
from raft_exporter.reporting import reported
from raft_exporter.shipped import rule_texts, write_out

Format: TypeAlias = Literal["prometheus", "kubernetes"]
Ruler: TypeAlias = Literal["prometheus", "victoriametrics"]

_KUBERNETES_FILE: Final = "raft-exporter.prometheusrule.yml"
_GROUPS: Final = re.compile(r"^groups:\n", re.MULTILINE)
_KEEP_FIRING_FOR: Final = re.compile(r"^ +keep_firing_for: .*\n", re.MULTILINE)


@click.command()
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory to write the files into; without it they are printed as one document.",
)
@click.option(
    "--format",
    "form",
    envvar="RAFT_EXPORTER_RULES_FORMAT",
    type=click.Choice(get_args(Format)),
    default="prometheus",
    show_default=True,
    help="Plain rule files, or one PrometheusRule for the Prometheus operator.",
)
@click.option(
    "--for",
    "ruler",
    envvar="RAFT_EXPORTER_RULES_FOR",
    type=click.Choice(get_args(Ruler)),
    default="prometheus",
    show_default=True,
    help="Who evaluates them; for a vmalert before 1.92 keep_firing_for is left out.",
)
@click.option("--namespace", callback=namespace_of, help="With --format kubernetes: where it belongs.")
@click.option(
    "--label",
    multiple=True,
    callback=labels_of,
    metavar="KEY=VALUE",
    help="With --format kubernetes: a label of the PrometheusRule, such as release=prometheus. Repeatable.",
)
@reported
def rules(
    to: Path | None, *, form: Format, ruler: Ruler, namespace: str | None, label: dict[str, str]
) -> None:
    """Write the recording and alert rules out, for Prometheus or one that takes its rules.

    What they need and how to load them: docs/rules.md.
    """
    check_form(form, namespace, label)
    texts = {name: _for(ruler, text) for name, text in rule_texts().items()}
    if form == "kubernetes":
        texts = {_KUBERNETES_FILE: _prometheus_rule(_one_document(texts), namespace, label)}
    if to is None:
        click.echo(_one_document(texts), nl=False)
    else:
        for path in write_out(to, texts):
            click.echo(f"wrote {path}")


def _for(ruler: Ruler, text: str) -> str:
    """Leave out what the ruler refuses, and nothing else: vmalert has keep_firing_for from 1.92 on."""
    return _KEEP_FIRING_FOR.sub("", text) if ruler == "victoriametrics" else text


def _one_document(texts: dict[str, str]) -> str:
    """Put the groups of all under the key of the first; the comments stay where they are."""
    first, *others = texts.values()
    return "\n".join([first, *(_GROUPS.sub("", text, count=1) for text in others)])


def _prometheus_rule(document: str, namespace: str | None, labels: dict[str, str]) -> str:
    """Give the document as the spec of a custom resource (monitoring.coreos.com/v1)."""
    resource = head("monitoring.coreos.com/v1", "PrometheusRule", "raft-exporter", namespace, labels)
    return f"{resource}spec:\n{textwrap.indent(document, '  ')}"
