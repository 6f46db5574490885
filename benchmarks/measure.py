"""One measurement of each scenario on a deployment that runs; the values that are kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.deployment import Answer, Deployment, run_load
from benchmarks.processes import Usage, metered
from benchmarks.scenarios import (
    BACKLOG,
    HTTP,
    HTTP_CONNECTIONS,
    LATENCY,
    PACE_SECONDS,
    PACE_SHARES,
    Scenario,
)
from benchmarks.stats import percentile
from benchmarks.store import Sample, commit, now

Values = dict[str, float]
Measured = tuple[Values, Usage]


def measure(
    deployment: Deployment, scenario: Scenario, count: int, round_number: int, variant: str = ""
) -> Sample:
    """Raises `ContenderFailed`."""
    measured = {LATENCY: latency, HTTP: http, BACKLOG: backlog}.get(scenario, burst)
    values, usage = measured(deployment, scenario, count)
    return Sample(
        scenario.letter,
        deployment.contender.name,
        round_number,
        count,
        {name: round(value, 3) for name, value in values.items()},
        usage.cpu,
        usage.memory,
        variant,
        usage.foreign,
        commit=commit(),
        at=now(),
    )


def burst(deployment: Deployment, scenario: Scenario, count: int) -> Measured:
    """Submit all at once; how soon they are accepted, finished, and in the history."""
    with metered(deployment.sessions) as usage:
        answer = deployment.ask("run", kind=scenario.kind, count=count)
    return rates(answer, count), usage


def rates(answer: Answer, count: int) -> Values:
    """Per second, from the moment the first was submitted."""
    began = answer["began"]
    values = {
        "finished": count / (answer["finished"] - began),
        "submitted": count / (answer["submitted"] - began),
    }
    return values | recorded(answer, count)


def recorded(answer: Answer, count: int) -> Values:
    """What a history adds: rows a second, how many were missing when all had ended, and the seconds
    until none was."""
    if "recorded" not in answer:
        return {}
    return {
        "recorded": count / (answer["recorded"] - answer["began"]),
        "behind": answer["behind"],
        "drained_after": answer["recorded"] - answer["finished"],
    }


def latency(deployment: Deployment, _: Scenario, count: int) -> Measured:
    """One at a time: milliseconds by what is awaited."""
    with metered(deployment.sessions) as usage:
        answer = deployment.ask("latency", count=count)
    values: Values = {}
    for name, milliseconds in answer.items():
        values[f"{name}_p50"] = percentile(milliseconds, 0.5)
        values[f"{name}_p99"] = percentile(milliseconds, 0.99)
    return values, usage


def http(deployment: Deployment, scenario: Scenario, count: int) -> Measured:
    """One POST a task, closed loop."""
    with metered(deployment.sessions) as usage:
        load = run_load(deployment.api_url, count, HTTP_CONNECTIONS)
        waited: Answer = {}
        if not deployment.contender.is_bare:
            waited = deployment.ask("await", ids=load["ids"], kind=scenario.kind)
    usage.cpu["load"] = load["cpu"]
    values: Values = {
        "accepted": len(load["ids"]) / (load["accepted"] - load["began"]),
        "refused": load["refused"],
        "p50": percentile(load["milliseconds"], 0.5),
        "p99": percentile(load["milliseconds"], 0.99),
    }
    if waited:
        values["finished"] = count / (waited["finished"] - load["began"])
        values |= recorded({**waited, "began": load["began"]}, count)
    return values, usage


def backlog(deployment: Deployment, scenario: Scenario, count: int) -> Measured:
    """Fill while no worker runs, then start one. The rate is that of the second half, when all
    is warm."""
    filled = deployment.ask("submit", kind=scenario.kind, count=count)
    deployment.start_worker()
    with metered(deployment.sessions) as usage:
        answer = deployment.ask("drain")
    first, half, finished = answer["first"], answer["half"], answer["finished"]
    values = {
        "filled": count / (filled["submitted"] - filled["began"]),
        "drained": count / (finished - first),
        "second_half": count / 2 / (finished - half),
    }
    if "recorded" in answer:
        values |= recorded({**answer, "began": first}, count)
    return values, usage


def sustained(
    deployment: Deployment, burst_rate: float, tell: Callable[[str], Any]
) -> tuple[Values, Usage, int]:
    """The highest offered rate at which history's lag does not grow: seconds of constant load, a
    little more each time."""
    values: Values = {"held": 0.0}
    total = 0
    with metered(deployment.sessions) as usage:
        for share in PACE_SHARES:
            rate = round(share * burst_rate)
            answer = deployment.ask("pace", rate=rate, seconds=PACE_SECONDS)
            total += int(rate * PACE_SECONDS)
            half, end = answer["lags"]
            took = answer["accepted"] - answer["began"]
            holds = end - half <= rate * LAG_GROWTH and took <= PACE_SECONDS * LATE
            tell(f"{rate}/s: {half} then {end} rows behind, offered within {took:.1f} s")
            if not holds:
                break
            values = {"held": rate, "lag": end / rate, "drained_after": _drained(answer)}
    return values, usage, total


LAG_GROWTH = 0.25
"""Seconds' worth of tasks by which the lag may differ between the half and the end."""
LATE = 1.05
"""How much longer than planned the offering may take."""


def _drained(answer: Answer) -> float:
    return float(answer["recorded"] - answer["accepted"])
