"""The variables of the dashboards. No datasource is named: whoever loads a dashboard chooses one."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.alerts import firing

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def datasource() -> DatasourceVariable:
    """Let a Prometheus be chosen."""
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def cluster(*, several: bool) -> QueryVariable:
    """Let one or several clusters be chosen; All is also what has no label ``cluster``."""
    query = 'label_values(raft_node_role{job=~".+"}, cluster)'
    return _query("cluster", query, several=several).all_value(".*").label("Cluster")


def job() -> QueryVariable:
    """Let jobs be chosen."""
    query = 'label_values(raft_node_role{cluster=~"$cluster"}, job)'
    return _query("job", query, several=True).all_value(".+").label("Job")


def instance() -> QueryVariable:
    """Let sidecars be chosen."""
    query = 'label_values(raft_node_role{cluster=~"$cluster", job=~"$job"}, instance)'
    return _query("instance", query, several=True).all_value(".+").label("Instance")


def alerts() -> QueryVariable:
    """Read the alerts that fire. Never shown: a text panel writes all of it."""
    variable = _query("alerts", f"query_result({firing()})", several=True)
    return variable.regex('/text="([^"]*)"/').label("Alerts").hide(VariableHide.HIDE_VARIABLE)


def _query(name: str, query: str, *, several: bool) -> QueryVariable:
    everything = VariableOption(
        selected=True,
        text=["All"] if several else "All",
        value=["$__all"] if several else "$__all",
    )
    return (
        QueryVariable(name)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": "StandardVariableQuery"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(True)
        .current(everything)
    )
