"""The instruments, and the alert rules that speak of them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from infra.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"


def exported(metrics: Metrics) -> set[str]:
    """The names of all samples, each instrument used once."""
    for metric in metrics.registry._names_to_collectors.copy().values():
        names = getattr(metric, "_labelnames", ())
        if names:
            metric.labels(*("x" for _ in names))  # type: ignore[attr-defined]
    metrics.watch_running(lambda: {"quick_tasks": 2})
    text = metrics.render().decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


def test_every_metric_of_an_alert_is_one_that_is_exported() -> None:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    used = {name for rule in alerts for name in re.findall(r"stepline_\w+", rule["expr"])}

    assert used <= exported(Metrics())
    for rule in alerts:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"], "somebody reads it at three in the morning"
        assert rule["labels"]["severity"] in ("page", "warn")


def test_the_module_s_table_names_every_instrument() -> None:
    import infra.metrics

    documented = set(re.findall(r"stepline_\w+", infra.metrics.__doc__ or ""))
    names = {
        re.sub(r"_(total|created|bucket|count|sum)$", "", name) for name in exported(Metrics())
    }

    assert {re.sub(r"_total$", "", name) for name in documented} == names


def test_prometheus_scrapes_what_compose_starts() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    compose = yaml.safe_load((DEPLOY.parents[1] / "compose.yaml").read_text())
    names = {"api"} | set(config["scrape_configs"][1]["dns_sd_configs"][0]["names"])

    assert names <= set(compose["services"])


def test_two_registries_know_nothing_of_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.retries.labels("quick").inc()

    assert b'stepline_task_retries_total{type="quick"} 1.0' in one.render()
    assert b"stepline_task_retries_total{" not in other.render()
