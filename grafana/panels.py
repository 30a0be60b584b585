"""The panels: one function a kind, and none without title, description, unit, legend and a text for no data.

Only what Grafana 9.4 has: see ``release_9_4``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    heatmap,
    stat,
    statetimeline,
    statushistory,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMapping,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from grafana import palette
from grafana.variables import DATASOURCE

Built: TypeAlias = Builder[Panel]
"""A panel of any kind, for a dashboard to take."""
SAMPLES: Final = 90
"""Columns of a panel of states: as many as can be told apart, and Grafana 9.4 refuses too many of them."""


class Words(NamedTuple):
    """What a panel says besides its data."""

    title: str
    description: str
    no_data: str


class Size(NamedTuple):
    """Of a panel: width in 24ths of the page, height in rows of 30 pixels."""

    width: int
    height: int


_Kind = TypeVar(
    "_Kind",
    stat.Panel,
    timeseries.Panel,
    statushistory.Panel,
    statetimeline.Panel,
    heatmap.Panel,
    barchart.Panel,
    table.Panel,
    text.Panel,
)


_OfStates = TypeVar("_OfStates", statushistory.Panel, statetimeline.Panel)
_OverTime = TypeVar("_OverTime", timeseries.Panel, statushistory.Panel, statetimeline.Panel)


def begun(panel: _Kind, words: Words, size: Size, unit: str) -> _Kind:
    """Give the panel what every panel has."""
    panel.title(words.title).description(words.description).no_value(words.no_data)
    return panel.span(size.width).height(size.height).datasource(DATASOURCE).unit(unit)


def _query(expression: str, ref: str, legend: str) -> Dataquery:
    return Dataquery().datasource(DATASOURCE).expr(expression).ref_id(ref).legend_format(legend)


def now(expression: str, ref: str, legend: str) -> Dataquery:
    """Ask for what is now."""
    return _query(expression, ref, legend).instant()


def _over_time(expression: str, ref: str, legend: str) -> Dataquery:
    return _query(expression, ref, legend).range()


def _asking(panel: _OverTime, queries: Sequence[tuple[str, str]]) -> _OverTime:
    """Give a panel its queries over time, each an expression with its legend."""
    for place, (expression, legend) in enumerate(queries):
        panel.with_target(_over_time(expression, letter(place), legend))
    return panel


def neutral() -> ThresholdsConfig:
    """Give the colour that says nothing to what no mapping colours."""
    steps = [Threshold(value=None, color=palette.NEUTRAL)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def letter(number: int) -> str:
    """Give the name of a panel's query."""
    return chr(ord("A") + number)


def number(
    words: Words,
    size: Size,
    expression: str,
    *,
    unit: str = "none",
    mappings: list[ValueMapping] | None = None,
    name: str = "",
) -> stat.Panel:
    """Show one number as it is now; with ``name``, the label of that name in its place."""
    shown = BigValueTextMode.NAME if name else BigValueTextMode.VALUE
    return (
        begun(stat.Panel(), words, size, unit)
        .mappings(mappings or [])
        .thresholds(neutral())
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.BACKGROUND if mappings else BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(shown)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(now(expression, "A", f"{{{{{name}}}}}" if name else words.title))
    )


def lines(
    words: Words,
    size: Size,
    *queries: tuple[str, str],
    unit: str,
    decimals: int | None = None,
    from_zero: bool = True,
) -> timeseries.Panel:
    """Draw lines; each query with its legend. A gap in the data stays a gap."""
    panel = (
        begun(timeseries.Panel(), words, size, unit)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .draw_style(GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(0)
        .show_points(VisibilityMode.AUTO)
        .span_nulls(False)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if from_zero:
        panel.min(0)
    if decimals is not None:
        panel.decimals(decimals)
    return _asking(panel, queries)


def bars(words: Words, size: Size, *queries: tuple[str, str], unit: str) -> timeseries.Panel:
    """Draw stacked bars over time: how often something happened."""
    return (
        lines(words, size, *queries, unit=unit)
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(80)
        .show_points(VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    )


def with_thresholds(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw the series whose legend begins with ``threshold`` as dashed lines."""
    return panel.override_by_regexp(
        "/^threshold /",
        [
            DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
            DynamicConfigValue(id_val="custom.lineWidth", value=2),
            DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": palette.THRESHOLD}),
        ],
    )


def with_colours(panel: timeseries.Panel, colours: dict[str, str]) -> timeseries.Panel:
    """Colour the series by the end of their legend, such as a state, as that is coloured everywhere."""
    for word, colour in colours.items():
        fixed = DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(f"/(^| ){word}$/", [fixed])
    return panel


def samples(
    words: Words, size: Size, *queries: tuple[str, str], mappings: list[ValueMapping]
) -> statushistory.Panel:
    """Draw a state at each sample. What is not there is a hole, not the state before it drawn on."""
    panel = _states(statushistory.Panel(), words, size, queries, mappings)
    return panel.max_data_points(SAMPLES).col_width(0.95)


def timeline(
    words: Words, size: Size, *queries: tuple[str, str], mappings: list[ValueMapping]
) -> statetimeline.Panel:
    """Draw states with their lengths. Holes are drawn over: only for series that say "no word"."""
    panel = _states(statetimeline.Panel(), words, size, queries, mappings)
    return panel.max_data_points(2 * SAMPLES).merge_values(True)


def _states(
    panel: _OfStates,
    words: Words,
    size: Size,
    queries: Sequence[tuple[str, str]],
    mappings: list[ValueMapping],
) -> _OfStates:
    """Give a panel what both kinds have that draw states over time."""
    begun(panel, words, size, "none").mappings(mappings).thresholds(neutral())
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.fill_opacity(90).line_width(0).row_height(0.85).show_value(VisibilityMode.AUTO)
    panel.legend(_legend())
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    return _asking(panel, queries)


def buckets(words: Words, size: Size, expression: str) -> heatmap.Panel:
    """Draw a histogram in seconds over time."""
    return (
        begun(heatmap.Panel(), words, size, "short")
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis").steps(64))
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .show_legend()
        .with_target(_over_time(expression, "A", "{{le}}").format(PromQueryFormat.HEATMAP))
    )


def counts(words: Words, size: Size, expression: str, label: str) -> barchart.Panel:
    """Draw one bar for each value of a label: how many there are now."""
    return (
        begun(barchart.Panel(), words, size, "none")
        .x_field(label)
        .min(0)
        .orientation(VizOrientation.HORIZONTAL)
        .show_value(VisibilityMode.ALWAYS)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
        .with_target(now(expression, "A", f"{{{{{label}}}}}").format(PromQueryFormat.TABLE))
    )


def words_only(words: Words, size: Size, content: str) -> text.Panel:
    """Show Markdown; the values of variables can be in it."""
    return begun(text.Panel(), words, size, "string").mode(TextMode.MARKDOWN).content(content)


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    return legend.placement(LegendPlacement.BOTTOM).calcs([])
