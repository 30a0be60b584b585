"""The tables: of what is now, a column a query or a matrix of two labels."""

from __future__ import annotations

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    ValueMapping,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panels import Size, Words, begun, letter, neutral, now
from grafana.states import plain


class Column(NamedTuple):
    """A column of a table: the query that fills it, its heading, and how its values are written.

    Without a heading it is not shown: what counts is a label that its query brings.
    """

    expression: str
    heading: str
    unit: str = "none"
    mappings: list[ValueMapping] | None = None
    decimals: int | None = None


def rows(
    words: Words,
    size: Size,
    *columns: Column,
    labels: dict[str, str],
    sort_by: str,
    descending: bool = False,
) -> table.Panel:
    """Show a table of what is now: the labels with their headings, then a column a query."""
    only = len(columns) == 1
    values = ["Value" if only else f"Value #{letter(place)}" for place in range(len(columns))]
    order = [*labels, *values]
    headings = labels | {value: column.heading for value, column in zip(values, columns, strict=True)}
    hidden = ["Time", *(name for name, heading in headings.items() if not heading)]
    panel = _table(words, size).with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: place for place, name in enumerate(order)},
                "renameByName": {name: heading for name, heading in headings.items() if heading},
            },
        )
    )
    for heading in labels.values():
        panel.override_by_name(heading, [_NOTHING])
    panel.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
    for place, column in enumerate(columns):
        query = now(column.expression, letter(place), column.heading or "present")
        panel.with_target(query.format(PromQueryFormat.TABLE))
        if not column.heading:
            continue
        properties = [_NOTHING, DynamicConfigValue(id_val="unit", value=column.unit)]
        if column.decimals is not None:
            properties.append(DynamicConfigValue(id_val="decimals", value=column.decimals))
        if column.mappings:
            properties += _coloured(column.mappings)
        panel.override_by_name(column.heading, properties)
    return panel


def matrix(
    words: Words,
    size: Size,
    expression: str,
    *,
    row: str,
    column: str,
    mappings: list[ValueMapping],
) -> table.Panel:
    """Show a table with a row for each value of one label and a column for each of another."""
    options = {"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"}
    return (
        _table(words, size)
        .with_transformation(DataTransformerConfig(id_val="groupingToMatrix", options=options))
        .mappings(mappings)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .override_by_regexp(r"/^(?!.*\\).*$/", [_BACKGROUND])
        .with_target(now(expression, "A", f"{{{{{column}}}}}").format(PromQueryFormat.TABLE))
    )


def linked(panel: table.Panel, heading: str, title: str, url: str) -> table.Panel:
    """Make the cells of a column links."""
    link = {"title": title, "url": url, "targetBlank": url.startswith("https:")}
    return panel.override_by_name(heading, [DynamicConfigValue(id_val="links", value=[link])])


def unlabelled(panel: table.Panel) -> table.Panel:
    """Write that there is no label, in the column of clusters, in place of the All that a link passes on."""
    words = DynamicConfigValue(id_val="mappings", value=plain({"All": "(no label)"}))
    return panel.override_by_name("Cluster", [words])


def coloured(panel: table.Panel, heading: str, mappings: list[ValueMapping]) -> table.Panel:
    """Colour the cells of a column that holds words."""
    return panel.override_by_name(heading, _coloured(mappings))


_NOTHING: Final = DynamicConfigValue(id_val="noValue", value="–")  # noqa: RUF001 - a dash
"""What a cell says that has nothing in it: not what the panel says without any data."""
_BACKGROUND: Final = DynamicConfigValue(id_val="custom.displayMode", value="color-background-solid")


def _table(words: Words, size: Size) -> table.Panel:
    return begun(table.Panel(), words, size, "none").thresholds(neutral())


def _coloured(mappings: list[ValueMapping]) -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue(id_val="mappings", value=mappings),
        DynamicConfigValue(id_val="color", value={"mode": "thresholds"}),
        _BACKGROUND,
    ]
