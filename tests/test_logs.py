from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_exporter import logs
from raft_exporter.log_rate import LogRate

LOG = logging.getLogger("raft_exporter.test")


def record(msg: str = "joined", /, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("raft_exporter.test", logging.WARNING, "f.py", 1, msg, None, None)
    made.created = 1_700_000_000.25
    made.fields = fields
    return made


@pytest.fixture
def _root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


HEAD = "ts=2023-11-14T22:13:20.250Z level=warning logger=raft_exporter.test"


@pytest.mark.parametrize(
    ("msg", "fields", "line"),
    [
        ("joined", {}, f"{HEAD} msg=joined"),
        ("peer joined", {"peer": "n2"}, f'{HEAD} msg="peer joined" peer=n2'),
        (
            "a",
            {"n": 3, "s": 0.5, "ok": True, "no": False, "none": None},
            f"{HEAD} msg=a n=3 s=0.5 ok=true no=false none=null",
        ),
        ("100 %s", {}, f'{HEAD} msg="100 %s"'),
        ("a\nb", {"x": 'q"\\\t'}, f'{HEAD} msg="a\\nb" x="q\\"\\\\\\t"'),
        ("a", {"x": "", "y": "a=b"}, f'{HEAD} msg=a x="" y="a=b"'),
        ("a", {"x": "\u2028\x1b\ud800", "y": "\u00e4"}, f'{HEAD} msg=a x="\\u2028\\u001b\\ud800" y=\u00e4'),
        ("a", {"x": ["n1", "n2"]}, f"{HEAD} msg=a x=\"['n1', 'n2']\""),
        ("a", {"ts": 1, "my key": 2, "": 3}, f"{HEAD} msg=a ts_=1 my_key=2 _=3"),
    ],
)
def test_logfmt(msg: str, fields: dict[str, object], line: str) -> None:
    assert logs.LogfmtFormatter().format(record(msg, **fields)) == line


def test_json_keeps_the_types() -> None:
    line = logs.JsonFormatter().format(
        record(
            "a\nb", n=3, s=0.5, ok=True, none=None, nan=float("nan"), inf=float("-inf"), peer="\u2028", msg=1
        )
    )
    assert "\n" not in line
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "raft_exporter.test",
        "msg": "a\nb",
        "n": 3,
        "s": 0.5,
        "ok": True,
        "none": None,
        "nan": "nan",
        "inf": "-inf",
        "peer": "\u2028",
        "msg_": 1,
    }


@pytest.mark.parametrize("formatter", [logs.LogfmtFormatter(), logs.JsonFormatter()])
def test_an_exception_is_one_field(formatter: logging.Formatter) -> None:
    made = record()
    made.exc_info = (ValueError, ValueError("two\nlines"), None)
    made.stack_info = "Stack (most recent call last):\n  here"
    line = formatter.format(made)
    assert len(line.splitlines()) == 1
    assert r"ValueError: two\nlines" in line
    assert r"Stack (most recent call last):\n  here" in line


@given(
    st.text(), st.dictionaries(st.text(), st.text() | st.floats() | st.integers() | st.none() | st.binary())
)
def test_any_record_is_one_line(msg: str, fields: dict[str, object]) -> None:
    made = record(msg)
    made.fields = fields
    assert logs.LogfmtFormatter().format(made).isprintable()
    line = logs.JsonFormatter().format(made)
    assert line.isprintable()
    assert json.loads(line)["msg"] == msg.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_fields_that_are_no_mapping_are_left_out() -> None:
    made = record()
    made.fields = 3
    assert logs.LogfmtFormatter().format(made) == f"{HEAD} msg=joined"


@pytest.mark.usefixtures("_root")
def test_setup_writes_to_standard_error_and_replaces_itself(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("debug", "json")
    logs.setup("info", "logfmt")
    logs.event(LOG, logging.DEBUG, "too fine")
    logs.event(LOG, logging.INFO, "100 % sure", peer="n2")
    LOG.info("plain %d", 1, extra={"fields": {"peer": "n3"}})
    logs.event(LOG, logging.ERROR, "broke", exc_info=ValueError("why"))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 3
    stamp = re.match(r"ts=(\S+) ", lines[0])
    assert stamp is not None
    assert datetime.fromisoformat(stamp[1]).utcoffset() is not None
    assert lines[0].endswith(' level=info logger=raft_exporter.test msg="100 % sure" peer=n2')
    assert lines[1].endswith(' msg="plain 1" peer=n3')
    assert lines[2].endswith(' msg=broke exception="ValueError: why"')


@pytest.mark.usefixtures("_root")
def test_another_format_loses_no_line_and_doubles_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "OUTPUT", logs.Output(LogRate(burst=10**6)))
    written, stop, wrote = 0, threading.Event(), threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            written += 1
            logs.event(LOG, logging.INFO, "joined", line=written)
            wrote.set()

    logs.setup("info", "logfmt")
    thread = threading.Thread(target=write)
    thread.start()
    for turn in range(20):
        assert wrote.wait(10)
        wrote.clear()
        logs.setup("debug" if turn % 2 else "info", "json" if turn % 3 else "logfmt")
    stop.set()
    thread.join()
    err = capsys.readouterr().err
    assert re.findall(r'\bline(?:=|": )(\d+)', err) == [str(number + 1) for number in range(written)]


@pytest.mark.usefixtures("_root")
def test_a_new_level_holds_from_the_next_line_and_the_counts_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.setup("info", "logfmt")
    before = logs.OUTPUT.written.copy()
    for level in ("info", "debug", "warning"):
        logs.setup(level, "json")
        for number in (logging.DEBUG, logging.INFO, logging.WARNING):
            logs.event(LOG, number, f"at {level}")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["msg"], one["level"]) for one in told] == [
        ("at info", "info"),
        ("at info", "warning"),
        ("at debug", "debug"),
        ("at debug", "info"),
        ("at debug", "warning"),
        ("at warning", "warning"),
    ]
    more = {each: count - before[each] for each, count in logs.OUTPUT.written.items()}
    assert more == {"debug": 1, "info": 2, "warning": 3, "error": 0}


@pytest.mark.usefixtures("_root")
def test_what_is_held_back_outlives_a_new_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "OUTPUT", logs.Output(LogRate(burst=1), later=lambda _, __: None))
    logs.setup("info", "logfmt")
    for form in ("logfmt", "json"):
        logs.setup("info", form)
        logs.event(LOG, logging.INFO, "joined")
    logs.OUTPUT.close()
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" msg=joined")
    assert (json.loads(second)["message"], json.loads(second)["times"]) == ("joined", 1)
