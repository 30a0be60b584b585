"""What the commands that write Kubernetes resources have in common."""

from __future__ import annotations

import re
from typing import Final

import click
import yaml

from raft_exporter.notation import shown

# https://kubernetes.io/docs/concepts/overview/working-with-objects/ (labels, names)
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_PART: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_PART}=({_LABEL_PART})?")


def namespace_of(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Check a flag that names a namespace."""
    if text is not None and not _NAMESPACE.fullmatch(text):
        raise click.BadParameter(f"expected the name of a Kubernetes namespace, got {shown(text)}")
    return text


def labels_of(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read a repeatable flag that gives labels, each as KEY=VALUE."""
    for text in texts:
        if not _LABEL.fullmatch(text):
            raise click.BadParameter(f"expected KEY=VALUE, as Kubernetes takes labels, got {shown(text)}")
    return dict(text.split("=", maxsplit=1) for text in texts)


def check_form(form: str, namespace: str | None, labels: dict[str, str]) -> None:
    """Refuse those flags where no Kubernetes resource is written, by click.UsageError."""
    if form != "kubernetes" and (namespace is not None or labels):
        raise click.UsageError("--namespace and --label are of use with --format kubernetes alone")


def head(version: str, kind: str, name: str, namespace: str | None, labels: dict[str, str]) -> str:
    """Write the beginning of a resource, up to its metadata."""
    metadata: dict[str, object] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    resource = {"apiVersion": version, "kind": kind, "metadata": metadata}
    return str(yaml.safe_dump(resource, sort_keys=False))
