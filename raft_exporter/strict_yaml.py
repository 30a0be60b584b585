"""YAML text to frozen structs, with every fault of the text on a line of its own.

The scalars are those of YAML 1.2's core schema, so ``no`` and ``12:30`` stay texts. Whatever the
configuration has no need of is refused: anchors and aliases (a small text can stand for gigabytes),
tags, a key given twice, a second document, deep nesting. The tree is built from PyYAML's parse
events, because its constructors take the last of two equal keys in silence, and expand aliases.

The structs are described by their own type hints: a Notation says how a text is read, a
``msgspec.Meta`` carries the description and the bounds.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
import yaml

from raft_exporter.errors import ConfigError
from raft_exporter.notation import one_line, shown

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16
MAX_FAULTS = 100

_LONGEST_WORD = 20
"""Characters: what is longer and stands for a word is no slip of the keyboard, but maybe a secret."""

Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"
S = TypeVar("S", bound=msgspec.Struct)

# libyaml's parser is some twenty times as fast, and gives the same events.
LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF_NAN = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Notation(msgspec.Struct, frozen=True):
    """How a text becomes a value; put into a field's ``Annotated`` type.

    ``expected`` is what a message says was expected, ``read`` gives the value or raises ConfigError.
    """

    expected: str
    read: Callable[[str], object]


class Faults:
    """The faults of one source, a line each; past MAX_FAULTS they are only counted."""

    def __init__(self, source: str) -> None:
        self._source = one_line(source)
        self._lines: list[str] = []
        self._more = 0

    def add(self, path: str, text: str) -> None:
        """Note a fault of the key ``path``; an empty path is the whole source."""
        if self.full:
            self._more += 1
        else:
            self._lines.append(": ".join(part for part in (self._source, path, text) if part))

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that their text is not worth its making."""
        return len(self._lines) >= MAX_FAULTS

    def error(self) -> ConfigError:
        """All that was noted, as one exception."""
        more = [f"{self._source}: {self._more} more faults, not listed"] if self._more else []
        return ConfigError(self._lines + more)

    def raise_any(self) -> None:
        """Raise ConfigError when there is any fault."""
        if self._lines:
            raise self.error()


def read_tree(text: str, faults: Faults) -> Tree:
    """Parse one YAML document; faults that leave a tree are noted, others raise ConfigError."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        faults.add("", "expected at most 1 MiB of YAML, got more")
        raise faults.error()
    try:
        return _Builder(text, faults).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        path = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        faults.add(
            path, f"expected well-formed YAML, got an error: {_problem(error.problem or error.context)}"
        )
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # A character that YAML forbids; and PyYAML lets chr() and int() fail on a few bad escapes.
        faults.add("", f"expected well-formed YAML, got an error: {_problem(str(error))}")
    except _TooDeepError:
        faults.add("", f"expected at most {MAX_DEPTH} levels of nesting, got more")
    raise faults.error()


def to_struct(tree: Tree, cls: type[S], path: str, faults: Faults) -> S:
    """Build a struct from a mapping by the type hints of its fields.

    A key without a value counts as absent. A faulty value is replaced by its default, or by ``""``
    where the key is required, so that the checks between fields can still run.
    """
    given = tree if isinstance(tree, dict) else {}
    whole = tree is None or isinstance(tree, dict)
    if not whole:
        faults.add(path, f"expected a mapping of keys, got {_kind(tree)}")
    fields = msgspec.structs.fields(cls)
    names = [field.encode_name for field in fields]
    for key in given:
        if key not in names:
            faults.add(join_path(path, key), "" if faults.full else _unknown_key(key, names))
    values: dict[str, object] = {}
    for field in fields:
        value, key_path = given.get(field.encode_name), join_path(path, field.encode_name)
        if value is not None:
            read = _value(value, field.type, key_path, faults)
            if read is not None:
                values[field.name] = read
        elif field.required and whole:
            base, extras = unwrap(field.type)
            faults.add(key_path, f"expected {_expected(base, extras)}, got {shown(value)}")
        if field.required:
            values.setdefault(field.name, "")
    return cls(**values)


def unwrap(hint: Any) -> tuple[Any, list[object]]:
    """Take ``Annotated`` and ``| None`` off a type hint: the bare type, and all that was noted on it."""
    extras: list[object] = []
    while True:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            hint, extras = args[0], [*extras, *args[1:]]
        elif origin in {types.UnionType, typing.Union} and len(args) == 2 and types.NoneType in args:
            hint = args[0] if args[1] is types.NoneType else args[1]
        else:
            return hint, extras


class _TooDeepError(Exception):
    pass


class _Builder:
    """Turns parse events into a tree, and notes what it refuses."""

    def __init__(self, text: str, faults: Faults) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
        self._faults = faults

    def document(self) -> Tree:
        tree: Tree = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                value = self._value(next(self._events), "", 0)
                tree = value if documents == 1 else tree
        if documents > 1:
            self._faults.add("", f"expected one YAML document, got {documents}")
        return tree

    def _value(self, event: yaml.Event, path: str, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise _TooDeepError
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            kind = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            self._faults.add(path, f"expected the value itself, got {kind} {_word(event.anchor)}")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._faults.add(path, f"expected a value without a tag, got the tag {_word(tag)}")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else _plain(event.value)
        return None

    def _sequence(self, path: str, depth: int) -> list[Tree]:
        items: list[Tree] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Tree]:
        items: dict[str, Tree] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                wrong = self._value(event, path, depth + 1)
                self._faults.add(path, f"expected a text as key, got {shown(wrong)}")
                self._value(next(self._events), path, depth + 1)
                continue
            key, mark = event.value, event.start_mark
            again = f" in line {mark.line + 1}" if mark else ""
            value = self._value(next(self._events), join_path(path, key), depth + 1)
            if key in items:
                self._faults.add(join_path(path, key), f"expected each key once, got it again{again}")
            else:
                items[key] = value
        return items


def _plain(text: str) -> Tree:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _INF_NAN.fullmatch(text) else text


def _value(value: Tree, hint: Any, path: str, faults: Faults) -> object:
    """Read one value by its type hint; None when it was faulty."""
    base, extras = unwrap(hint)
    notation = next((extra for extra in extras if isinstance(extra, Notation)), None)
    if notation is not None and isinstance(value, str):
        try:
            return notation.read(value)
        except ConfigError as error:
            faults.add(path, error.faults[0])
            return None
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return to_struct(value, base, path, faults)
    if typing.get_origin(base) is tuple and isinstance(value, list):
        item = typing.get_args(base)[0]
        return tuple(_item(each, item, f"{path}[{index}]", faults) for index, each in enumerate(value))
    if not notation and base in {int, float} and type(value) in {int, base}:
        return base(value)
    if (base is bool and isinstance(value, bool)) or (
        typing.get_origin(base) is Literal and isinstance(value, str) and value in typing.get_args(base)
    ):
        return value
    quotes = " (put it in quotes)" if notation and not isinstance(value, list | dict) and base is str else ""
    faults.add(path, f"expected {_expected(base, extras)}, got {_word(value)}{quotes}")
    return None


def _item(value: Tree, hint: Any, path: str, faults: Faults) -> object:
    read = None
    if value is None and not isinstance(hint, type):
        base, extras = unwrap(hint)
        faults.add(path, f"expected {_expected(base, extras)}, got {shown(value)}")
    else:
        read = _value(value, hint, path, faults)
    return "" if read is None else read


def _expected(base: Any, extras: list[object]) -> str:
    for extra in extras:
        if isinstance(extra, Notation):
            return extra.expected
    if typing.get_origin(base) is Literal:
        return "one of " + ", ".join(typing.get_args(base))
    return _KINDS.get(base, "a list")


def _unknown_key(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key[:64], names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "known here: " + ", ".join(names)
    return f"expected a known key, got {shown(key)} ({hint})"


def join_path(path: str, key: str) -> str:
    """Write the path of a key under ``path``, which is empty at the top."""
    name = key if _PLAIN_KEY.fullmatch(key) else shown(key)
    return f"{path}.{name}" if path else name


def _word(value: Tree) -> str:
    long = isinstance(value, str) and len(value) > _LONGEST_WORD
    return _kind(value) if long else shown(value)


def _kind(value: Tree) -> str:
    return f"a text of {len(value)} characters" if isinstance(value, str) else shown(value)


def _problem(text: str | None) -> str:
    folded = " ".join(one_line(" ".join((text or "unknown").split())).split())
    return folded if len(folded) <= 200 else folded[:200] + "..."
