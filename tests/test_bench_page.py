"""What the benchmark of open pages makes of its windows, and that it measures what it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.page import CPU_BAR, MEMORY_BAR, Cost, Window, cost_of, lay_out, usage
from raft_exporter.demo.cluster import raftnode
from tests.conftest import Need
from tests.test_bench import last_line


def window(
    cpu: float, resident: float, other_cpu: float = 30.0, other: float = 57.0, **more: float
) -> Window:
    return Window(cpu=cpu, other_cpu=other_cpu, resident=resident, other_resident=other, **more)


ROUNDS = [
    (window(30.0, 57.0), window(34.0, 58.5, 31.0, bytes_per_second=200.0)),
    (window(50.0, 58.5), window(60.0, 59.5, 29.0, 57.5, bytes_per_second=100.0)),
    (window(31.0, 58.0), window(36.0, 59.0, 33.0, bytes_per_second=120.0)),
]


def test_what_pages_cost_is_compared_within_each_round() -> None:
    cost = cost_of(20, ROUNDS)
    assert (cost.cpu_without, cost.cpu_with, cost.cpu_more, cost.other_cpu_more) == (31.0, 36.0, 5.0, 1.0)
    assert (cost.pages, cost.rounds, cost.bytes_per_second_a_page) == (20, 3, 6.0)


def test_memory_is_compared_with_what_it_was_before_a_page_was_ever_open() -> None:
    cost = cost_of(20, ROUNDS)
    assert (cost.memory_without, cost.memory_with, cost.memory_more) == (57.0, 59.5, 2.5)
    assert cost.other_memory_more == 0.5


def test_what_a_sidecar_without_pages_takes_as_well_is_not_their_doing() -> None:
    cost = cost_of(20, ROUNDS)
    assert (cost.cpu, cost.memory) == (4.0, 2.0)


@pytest.mark.parametrize(
    ("cpu", "memory", "missed"), [(0.0, 0.0, 0), (CPU_BAR, 0.0, 1), (0.0, MEMORY_BAR, 1)]
)
def test_a_bar_is_met_below_it(cpu: float, memory: float, missed: int) -> None:
    cost = cost_of(20, [(window(30.0, 50.0), window(30.0 + cpu, 50.0 + memory))])
    assert lay_out(cost).count("NO") == missed


def test_usage_is_that_of_the_whole_process() -> None:
    burn = "import threading\nt = threading.Thread(target=sum, args=(range(10**7),)); t.start(); t.join()\n"
    hold = "held = bytearray(50_000_000)\nprint('ready', flush=True)\ninput()"
    command = [sys.executable, "-c", burn + hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        used = usage(child.pid)
        child.communicate(b"\n")
    assert used.cpu > 0.05
    assert 50 < used.resident < 100
    assert used.cpu <= os.times().children_user + os.times().children_system


@pytest.mark.integration
def test_the_benchmark_ends_with_one_json_object(need: Need) -> None:
    need("raftnode", raftnode)
    result = last_line("page", "--pages", "3", "--n", "1", "--window", "2")
    assert set(result) == {*Cost.__struct_fields__, "cpu", "memory", "met"}
    assert result["pages"] == 3
    assert result["cpu_with"] > 0
    assert result["bytes_per_second_a_page"] > 1000, "expected a state of the cluster each second"
