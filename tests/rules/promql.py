"""What a PromQL expression reads, and which labels its result has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorMatchCardinality,
    VectorSelector,
    walk,
)

_E = TypeVar("_E", bound=Expr)
Labels = frozenset[str]
SETS: Final = frozenset({"and", "or", "unless"})
CHOICES: Final = frozenset({"topk", "bottomk"})
COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})


def every(kind: type[_E], expression: Expr) -> Iterator[_E]:
    """Every part of that kind, the expression itself included."""
    found: list[Expr] = []
    walk(expression, found.append)
    return (part for part in found if isinstance(part, kind))


def selectors(expression: Expr) -> list[VectorSelector]:
    """Everything that is read, ranges included."""
    ranges = [each.vector_selector for each in every(MatrixSelector, expression)]
    return [*every(VectorSelector, expression), *ranges]


def reads(expression: Expr) -> set[str]:
    """The names of what is read."""
    return {selector.name or "" for selector in selectors(expression)}


def bare(expression: Expr) -> Expr:
    """The expression without the parentheses around it."""
    while isinstance(expression, ParenExpr):
        expression = expression.expr
    return expression


def arms(expression: Expr) -> list[Expr]:
    """What is joined by ``or`` at the top; ``or on (...)`` stands in for what is missing, and is no part."""
    expression = bare(expression)
    if isinstance(expression, BinaryExpr) and str(expression.op) == "or" and on(expression) is None:
        return [*arms(expression.lhs), *arms(expression.rhs)]
    return [expression]


def is_scalar(expression: Expr) -> bool:
    """Whether the expression is a number, and no vector."""
    expression = bare(expression)
    if isinstance(expression, BinaryExpr):
        return is_scalar(expression.lhs) and is_scalar(expression.rhs)
    return isinstance(expression, NumberLiteral)


def on(operation: BinaryExpr) -> Labels | None:
    """The labels that both sides are matched on; None where all of them count."""
    matching = operation.modifier.matching if operation.modifier else None
    if matching is None:
        return None
    assert matching.type == LabelModifierType.Include, "expected on (...), not ignoring (...)"
    return frozenset(matching.labels)


def labels(expression: Expr, of: Callable[[str], Labels]) -> Labels:
    """The labels of the result, where ``of`` gives those of a metric.

    AssertionError, with the words of the expression, where a label is asked for that is not there, or where
    the two sides of an operation have other labels and do not say what they are matched on.
    """
    match bare(expression):
        case VectorSelector() as selector:
            assert selector.name is not None, f"a selector without a name: {selector}"
            return of(selector.name)
        case MatrixSelector(vector_selector=selector):
            return labels(selector, of)
        case SubqueryExpr(expr=inner) | UnaryExpr(expr=inner):
            return labels(inner, of)
        case AggregateExpr() as aggregation:
            return _of_aggregation(aggregation, of)
        case BinaryExpr() as operation:
            return _of_operation(operation, of)
        case Call() as call:
            return _of_call(call, of)
        case other:
            raise AssertionError(f"expected a vector, got {other}")


def _of_aggregation(aggregation: AggregateExpr, of: Callable[[str], Labels]) -> Labels:
    inner, modifier = labels(aggregation.expr, of), aggregation.modifier
    named = frozenset(modifier.labels) if modifier else frozenset()
    assert named <= inner, f"{set(named - inner)} is not there: {aggregation}"
    if str(aggregation.op) in CHOICES:
        return inner
    kept = named if modifier and modifier.type == AggModifierType.By else inner - named
    if str(aggregation.op) == "count_values":
        assert isinstance(aggregation.param, StringLiteral)
        return kept | {aggregation.param.val}
    return kept if modifier else frozenset()


def _of_operation(operation: BinaryExpr, of: Callable[[str], Labels]) -> Labels:
    if is_scalar(operation.lhs) or is_scalar(operation.rhs):
        return labels(operation.rhs if is_scalar(operation.lhs) else operation.lhs, of)
    left, right, matched = labels(operation.lhs, of), labels(operation.rhs, of), on(operation)
    if matched is None:
        assert left == right, f"{set(left ^ right)} is on one side alone: {operation}"
        return left
    assert matched <= left & right, f"{set(matched - (left & right))} is not on both sides: {operation}"
    if str(operation.op) in SETS:
        return left
    modifier = operation.modifier
    assert modifier is not None
    for card, many in ((VectorMatchCardinality.ManyToOne, left), (VectorMatchCardinality.OneToMany, right)):
        if modifier.card == card:
            return many | frozenset(modifier.group_labels or ())
    return matched


def _of_call(call: Call, of: Callable[[str], Labels]) -> Labels:
    inner = next(
        labels(each, of) for each in call.args if not isinstance(each, (NumberLiteral, StringLiteral))
    )
    if call.func.name == "label_replace":
        target, source = call.args[1].val, call.args[3].val
        assert source in inner, f"{source} is not there: {call}"
        return inner | {target}
    return inner
