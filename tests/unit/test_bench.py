"""The harness's own arithmetic: what it makes of samples. To measure is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stepline.errors import SteplineError

from benchmarks import __main__ as command
from benchmarks.campaign import Wanted, chosen
from benchmarks.contenders import CONTENDERS
from benchmarks.environments import PEERS
from benchmarks.guard import Kept, kept
from benchmarks.page import page, write_page
from benchmarks.processes import cpu_seconds, start
from benchmarks.scenarios import BACKLOG, BURST, GROWTH, LATENCY
from benchmarks.stats import Spread, digits, percentile
from benchmarks.store import OtherMachine, Sample, Store, describe_machine
from benchmarks.targets import judge
from benchmarks.view import rows


def sample(contender: str, finished: float, number: int = 1, **more: object) -> Sample:
    values = {"finished": finished, "submitted": 2 * finished}
    return Sample("a", contender, number, 100, values, {"worker": 0.2, "Redis": 0.1}, **more)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results.json", describe_machine())


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], 0.5) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (99.94, "99.9"), (1.234, "1.23"), (0.0, "0.00")]
)
def test_figures_have_three_digits(value: float, text: str):
    assert digits(value) == text


def test_a_row_is_the_median_of_the_rounds_and_the_best_comes_first(store: Store):
    for number, rate in enumerate([100.0, 900.0, 200.0], start=1):
        store.add(sample("dramatiq", rate, number))
    store.add(sample("celery", 300.0))
    first, second = rows(store, BURST)
    assert (first.contender.name, second.contender.name) == ("celery", "dramatiq")
    assert second.cells[0] == Spread(200.0, 100.0, 900.0, 3)
    assert second.cpu.median == pytest.approx(3.0)  # 0.3 s for 100 tasks


def test_of_latencies_the_least_comes_first(store: Store):
    for name, p50 in (("celery", 9.0), ("dramatiq", 2.0)):
        store.add(Sample("b", name, 1, 20, {"result_p50": p50, "result_p99": 20.0}))
    assert [row.contender.name for row in rows(store, LATENCY)] == ["dramatiq", "celery"]


def test_a_run_goes_on_where_the_last_one_stopped(store: Store):
    store.add(sample("arq", 50.0))
    store.add(sample("saq", 0.0, error="it broke"))
    again = Store.open(store.path)
    assert again.samples == store.samples
    assert again.has("a", "arq", "", 1)
    assert not again.has("a", "arq", "", 2)
    again.forget_failures()
    assert not again.has("a", "saq", "", 1)
    again.forget({"a"}, {"arq"})
    assert again.samples == []


def test_another_machines_file_is_not_added_to(store: Store):
    store.machine = {**store.machine, "cores": 4096}
    store.save()
    with pytest.raises(OtherMachine):
        Store.open(store.path)
    assert Store.open(store.path, only_read=True).machine["cores"] == 4096


def test_targets_are_judged_by_the_same_runs_peers(store: Store):
    store.add(sample("dramatiq", 1000.0))
    store.add(sample("stepline", 1999.0))
    (verdict,) = judge(store)
    assert (verdict.met, verdict.wanted, verdict.measured) == (False, "≥ 2,000/s", "1,999/s")
    store.forget({"a"}, {"stepline"})
    store.add(sample("stepline", 2000.0))
    assert [verdict.met for verdict in judge(store)] == [True]


@pytest.mark.parametrize(("most", "met"), [(0.35, True), (0.37, False)])
def test_growth_is_flat_within_a_fifth(store: Store, most: float, met: bool):
    for rows_there, cpu in ((1_000, 0.30), (1_000_000, most)):
        variant = f"rows={rows_there}"
        store.add(Sample("i", "stepline", 1, 100, {}, {"worker": cpu}, {}, variant))
    assert [verdict.met for verdict in judge(store)] == [met]


def test_lists_are_compared_from_where_they_count_all_the_same(store: Store):
    for rows_there, milliseconds in ((1_000, 1.0), (10_000, 8.0), (1_000_000, 9.0)):
        values = {"page_newest": milliseconds}
        variant = f"rows={rows_there}"
        store.add(Sample("i", "stepline", 1, 100, values, {"worker": 0.1}, {}, variant))
    cost, newest = judge(store)
    assert (cost.measured, newest.measured) == ("0% from least to most", "12% from least to most")
    assert newest.met


def test_the_page_says_who_is_ahead_and_that_the_machine_was_busy(store: Store):
    for name, rate in (("dramatiq", 1500.0), ("stepline", 1000.0), ("celery", 500.0)):
        store.add(sample(name, rate, foreign=0.3))
    text = page(store, set())
    assert (
        "- (a) tiny tasks, finished, finished/s: Dramatiq 1,500; Stepline, a POST a task 1,000\n"
        in text
    )
    assert "During 3 of 3 samples other processes used more than 10% of the machine" in text


def test_the_page_tells_figures_failures_and_promises(store: Store, tmp_path: Path):
    store.add(sample("dramatiq", 1500.0, at="2026-01-02T03:04:05+00:00", commit="abc123"))
    store.add(sample("stepline", 1000.0))
    store.add(sample("celery", 0.0, error="no worker came up"))
    written = write_page(store, tmp_path / "docs")
    text = (tmp_path / "docs" / "performance.md").read_text()
    assert "| Dramatiq | 1,500 |" in text
    assert "| (a) finished: 2 × Dramatiq | ≥ 3,000/s | 1,000/s | NOT met |" in text
    assert "no worker came up" in text
    assert "abc123" in text
    assert all(contender.title in text for contender in CONTENDERS)
    assert "<svg" in (tmp_path / "docs" / "performance" / "a-finished.svg").read_text()
    assert json.loads(written[1].read_text())["samples"][0]["contender"] == "dramatiq"


def test_a_page_without_measurements_says_so(store: Store):
    assert "Nothing has been measured yet." in page(store, set())


def test_a_complete_run_has_each_round_of_each_contender():
    wanted = Wanted([BURST, BACKLOG, GROWTH], chosen("stepline,celery,bare"), runs=5, quick=False)
    cells = [(scenario.letter, contender.name) for scenario, contender, _, _ in wanted.cells()]
    assert cells.count(("a", "stepline")) == cells.count(("a", "celery")) == 5
    assert cells.count(("h", "celery")) == 1  # it takes long
    assert cells.count(("i", "stepline")) == 5 * 7  # four sizes of history, three of the fleet
    assert len(cells) == 5 + 5 + 1 + 35


@pytest.mark.parametrize("arguments", [["--only", "z"], ["--peers", "rabbit"]])
def test_an_unknown_name_is_refused_with_those_that_exist(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert command.main(arguments) == 1
    assert "there are" in capsys.readouterr().out
    with pytest.raises(SteplineError):
        chosen("stepline,rabbit")


def test_each_peers_requirements_are_pinned_to_the_last():
    for contender in CONTENDERS:
        if contender.own_environment:
            lines = (PEERS / f"{contender.name}.txt").read_text().split("\n")
            assert all("==" in line for line in lines if line), contender.name


def test_the_guard_tells_noise_from_a_loss():
    before = Kept(ratio=0.5, tolerance=0.25, commit="abc")
    assert before.judge(0.45).startswith("as before")
    assert before.judge(0.3) == "SLOWER by 40%"
    assert before.judge(0.7).startswith("faster by 40%")
    assert Kept(None, 0.25, "").judge(0.5).startswith("none is kept yet")
    assert 0 < kept().tolerance < 1


def test_cpu_is_counted_by_session_children_included(tmp_path: Path):
    burn = "import time; e = time.process_time() + .3\nwhile time.process_time() < e: pass"
    script = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('burnt', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = start([sys.executable, "-c", script], {}, tmp_path, tmp_path / "log", **pipes)
    try:
        assert child.process.stdout is not None
        assert child.process.stdout.readline() == "burnt\n"
        used = cpu_seconds({child.pid: "worker"})["worker"]
    finally:
        child.stop()
        child.process.communicate()
    assert used >= 0.3
    assert not child.running
