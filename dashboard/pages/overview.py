"""Overview: how it goes now, how it went, and what needs somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.kit import Chart, Column, DataTable, box, card, icon, words
from dashboard.page import Page
from dashboard.pages.attention import concerns
from dashboard.pages.common import WINDOWS, select

if TYPE_CHECKING:
    from nicegui.element import Element

    from dashboard.source import Doc

EVERY = 2.0
FIGURES = ("running", "waiting", "throughput", "failure_rate", "latency", "workers")


class OverviewPage(Page):
    title_key = "nav_overview"

    def build(self) -> None:
        t = self.t
        self._window = self.query.get("window", "1h")
        if self._window not in WINDOWS:
            self._window = "1h"
        with self.head():
            options = [(name, t(f"last_{name}")) for name in WINDOWS]
            select(t("window"), self._window, options, self._choose)
        self._figures: dict[str, tuple[Element, Element, Element]] = {}
        with box("sl-figures"):
            for name in FIGURES:
                self._figure(name)
        self._concerns: list[Doc] | None = None
        with card(t("attention")):
            self._attention = box("sl-concerns")
        with box("sl-grid"):
            with card(t("chart_ended"), classes="w-6"):
                self._ended = Chart(
                    series=[], times=[], unit="number", kind="bars", label=t("chart_ended")
                )
            with card(t("chart_latency"), sub=t("chart_latency_hint"), classes="w-6"):
                self._latency = Chart(
                    series=[], times=[], unit="seconds", kind="lines", label=t("chart_latency")
                )
        with card(t("by_type"), flush=True):
            self._types = DataTable(
                [
                    Column("name", t("type"), "name"),
                    Column("finished", t("ended_success"), "number"),
                    Column("failed", t("ended_failure"), "number"),
                    Column("failure_rate", t("failure_rate"), "right"),
                    Column("p50", "p50", "seconds", roomy=True),
                    Column("p95", "p95", "seconds"),
                    Column("p99", "p99", "seconds", roomy=True),
                ],
                label=t("by_type"),
                empty={"icon": "bar_chart", "title": t("no_figures"), "hint": t("no_figures_hint")},
            )
        live, seconds = self.viewer.live, WINDOWS[self._window]
        source = self.viewer.source
        self.watch(live.poll(f"stats {seconds}", lambda: source.stats(seconds), EVERY), self._show)
        self.watch(live.poll("concerns", lambda: concerns(source), EVERY), self._show_concerns)

    def _figure(self, name: str) -> None:
        targets = {
            "running": "/tasks?status=RUNNING",
            "waiting": "/queues",
            "failure_rate": "/failures",
            "workers": "/workers",
        }
        made = box("sl-figure", "a" if name in targets else "div")
        if name in targets:
            made.props["href"] = targets[name]
        with made:
            words(self.t(f"figure_{name}"), "k", "div")
            value = words("–", "v", "div")
            small = words("", "s", "div")
        self._figures[name] = (made, value, small)

    def _choose(self, window: str) -> None:
        self.viewer.go(f"/?window={window}")

    def _show(self, stats: Doc) -> None:
        t = self.t
        now, totals = stats["now"], stats["totals"]
        ended = totals["finished"] + totals["failed"] + totals["cancelled"]
        self._set("running", f"{now['running']:,}", t("of_workers", n=now["workers"]))
        self._set("waiting", f"{now['waiting']:,}", t("in_queues"))
        self._set(
            "throughput", _rate(totals["throughput_per_second"]), t("n_ended", n=f"{ended:,}")
        )
        self._set(
            "failure_rate",
            f"{100 * (totals['failure_rate'] or 0):.1f} %",
            t("n_failed", n=f"{totals['failed']:,}"),
            alarm=(totals["failure_rate"] or 0) > 0.05,
        )
        latest = next((p for p in reversed(stats["series"]) if p["p95"] is not None), None)
        self._set(
            "latency",
            _seconds(latest["p95"] if latest else None),
            t("p50_is", p50=_seconds(latest["p50"])) if latest else "",
        )
        self._set("workers", f"{now['workers']:,}", "", alarm=now["workers"] == 0)
        self._show_series(stats["series"])
        self._types.set_rows(
            [
                {
                    "id": item["type"],
                    "href": f"/tasks?type={item['type']}",
                    "name": {"text": item["type"], "href": f"/tasks?type={item['type']}"},
                    **{name: item[name] for name in ("finished", "failed", "p50", "p95", "p99")},
                    "failure_rate": f"{100 * (item['failure_rate'] or 0):.1f} %",
                }
                for item in stats["by_type"]
            ]
        )

    def _show_series(self, series: list[Doc]) -> None:
        t = self.t
        times = [point["at"] for point in series]
        parts = {
            "success": [p["finished"] for p in series],
            "failure": [p["failed"] for p in series],
            "cancelled": [p["cancelled"] for p in series],
        }
        self._ended.show(
            times=times,
            series=[
                {"name": name, "label": t(f"ended_{name}"), "tone": name, "values": values}
                for name, values in parts.items()
            ],
        )
        self._latency.show(
            times=times,
            series=[
                {"name": name, "label": name, "tone": name, "values": [p[name] for p in series]}
                for name in ("p50", "p95", "p99")
            ],
        )

    def _set(self, name: str, value: str, small: str, *, alarm: bool = False) -> None:
        made, value_label, small_label = self._figures[name]
        value_label.set_text(value)  # type: ignore[attr-defined]
        small_label.set_text(small)  # type: ignore[attr-defined]
        made.classes(add="alarm" if alarm else "", remove="" if alarm else "alarm")

    def _show_concerns(self, found: list[Doc]) -> None:
        if found == self._concerns:
            return
        self._concerns = found
        self._attention.clear()
        with self._attention:
            if not found:
                with box("sl-concern tone-success"):
                    icon("task_alt")
                    words(self.t("all_well"), "grow")
            for concern in found:
                made = box(f"sl-concern tone-{concern['tone']}", "a")
                made.props["href"] = concern["href"]
                with made:
                    icon(concern["icon"])
                    words(self.t(f"concern_{concern['kind']}", **concern["values"]), "grow")
                    icon("chevron_right")


def _rate(per_second: float | None) -> str:
    if not per_second:
        return "0/s"
    if per_second < 1:
        return f"{60 * per_second:.1f}/min"
    return f"{per_second:,.1f}/s"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
