"""The tree of a PromQL expression, to look for what stands where in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import promql_parser


@cache
def nodes(expression: str) -> tuple[tuple[Any, tuple[Any, ...]], ...]:
    """Give each node with those above it, the outermost first; ValueError where it does not parse."""
    return tuple(_below(promql_parser.parse(expression), ()))


def _below(node: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    yield node, above
    for child in _children(node):
        yield from _below(child, (*above, node))


def _children(node: Any) -> list[Any]:
    match node:
        case promql_parser.AggregateExpr():
            return [node.expr, *([node.param] if node.param is not None else [])]
        case promql_parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql_parser.UnaryExpr() | promql_parser.ParenExpr() | promql_parser.SubqueryExpr():
            return [node.expr]
        case promql_parser.Call():
            return list(node.args)
        case promql_parser.MatrixSelector():
            return [node.vector_selector]
        case _:
            return []


def selectors(expression: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Give each vector selector with what is above it."""
    for node, above in nodes(expression):
        if isinstance(node, promql_parser.VectorSelector):
            yield node, above
