"""System: how each part of the deployment is, and where else to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.kit import Column, DataTable, box, card, fact, words
from dashboard.page import Page

if TYPE_CHECKING:
    from dashboard.source import Doc

EVERY = 2.0
ELSEWHERE = (("docs", "/docs"), ("redoc", "/redoc"), ("metrics", "/metrics"), ("health", "/health"))


class SystemPage(Page):
    title_key = "nav_system"

    def build(self) -> None:
        t = self.t
        with self.head(sub=t("system_hint")):
            pass
        with card(t("parts"), flush=True):
            self._table = DataTable(
                [
                    Column("name", t("part")),
                    Column("status", t("status"), "status"),
                    Column("latency", t("latency")),
                    Column("detail", t("details"), roomy=True),
                ],
                label=t("parts"),
                empty={"icon": "monitor_heart", "title": t("no_answer"), "hint": ""},
            )
        with card(t("deployment")), box("sl-facts"):
            fact(t("api"), value=self.viewer.source.url)
            with fact(t("version")):
                self._version = words("–")
            with fact(t("elsewhere")), box("sl-links"):
                for key, path in ELSEWHERE:
                    made = box("", "a").props("target=_blank rel=noopener")
                    made.props["href"] = f"{self.viewer.source.url}{path}"
                    with made:
                        words(t(f"link_{key}"))
        live = self.viewer.live
        self.watch(live.poll("health", self.viewer.source.health, EVERY), self._show)

    def _show(self, health: Doc) -> None:
        self._version.set_text(health["version"])
        self._table.set_rows(
            [
                {
                    "id": name,
                    "name": self.t(f"part_{name}") if name in PARTS else name,
                    "status": part["status"],
                    "latency": _milliseconds(part.get("latency_ms")),
                    "detail": self._detail(part),
                }
                for name, part in health["checks"].items()
            ]
        )

    def _detail(self, part: Doc) -> str | None:
        if part.get("detail"):
            return str(part["detail"])
        if part.get("count") is not None:
            return self.t("n_alive", n=part["count"])
        return None


PARTS = ("broker", "redis", "database", "workers")


def _milliseconds(latency: float | None) -> str | None:
    return None if latency is None else f"{latency:.1f} ms"
