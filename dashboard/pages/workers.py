"""Workers: who is there, what each does; drain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.kit import Column, DataTable, card
from dashboard.page import Page
from dashboard.pages.common import task_name

if TYPE_CHECKING:
    from dashboard.live import Poll
    from dashboard.source import Doc


class WorkersPage(Page):
    title_key = "nav_workers"

    def build(self) -> None:
        t = self.t
        with self.head(sub=t("workers_hint")):
            pass
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("name", t("worker"), "name"),
                    Column("state", t("status"), "status"),
                    Column("queues", t("nav_queues"), "chips", roomy=True),
                    Column("busy", t("busy"), "right"),
                    Column("beat", t("heartbeat"), "seconds", roomy=True),
                    Column("version", t("version"), "mono", roomy=True),
                    Column("started", t("started"), "ago", roomy=True),
                ],
                label=t("nav_workers"),
                empty={"icon": "dns", "title": t("no_workers"), "hint": t("no_workers_hint")},
                on_act=self._act,
            )
        with card(t("running_now"), flush=True):
            self._tasks = DataTable(
                [
                    Column("name", t("task"), "name"),
                    Column("progress", t("progress"), "progress"),
                    Column("type", t("type"), roomy=True),
                    Column("took", t("took"), "span"),
                    Column("worker", t("worker"), roomy=True),
                ],
                label=t("running_now"),
                empty={"icon": "bedtime", "title": t("idle"), "hint": t("idle_hint")},
            )
        self.watch(self._poll(), self._show)

    def _poll(self) -> Poll:
        return self.viewer.live.poll("workers", self.viewer.source.workers, 1.0)

    def on_events(self, events: Sequence[Doc]) -> None:
        changes = {}
        for event in events:
            kind = str(event["kind"])
            if kind in ("started", "succeeded", "failed", "cancelled") or kind.startswith(
                "worker."
            ):
                self._poll().nudge()
            elif kind.startswith("step."):
                known = self.viewer.live.progress.get(event["task_id"], {})
                changes[event["task_id"]] = {"progress": _progress(known)}
        if changes:
            self._tasks.patch(changes)

    def _show(self, workers: list[Doc]) -> None:
        wanted = self.query.get("w")
        self._table.set_rows(
            [
                self._row(worker) | {"dim": bool(wanted) and worker["id"] != wanted}
                for worker in workers
            ]
        )
        live = self.viewer.live
        self._tasks.set_rows(
            [
                {
                    "id": task["task_id"],
                    "href": f"/tasks/{task['task_id']}",
                    "name": {
                        "text": task_name(task),
                        "sub": task["task_id"],
                        "href": f"/tasks/{task['task_id']}",
                    },
                    "progress": _progress(
                        live.progress.get(task["task_id"])
                        or {"percent": task.get("percent"), "step": task.get("step")}
                    ),
                    "type": task["type"],
                    "took": {"from": task.get("started_at")},
                    "worker": worker["id"],
                }
                for worker in workers
                for task in worker["tasks"]
            ]
        )

    def _row(self, worker: Doc) -> Doc:
        t = self.t
        actions = {
            "running": [{"name": "drain", "label": t("drain"), "tone": ""}],
            "draining": [{"name": "undrain", "label": t("undrain"), "tone": "primary"}],
        }.get(worker["state"], [])
        return {
            "id": worker["id"],
            "name": {
                "text": worker["host"],
                "sub": f"{worker['id']} · {worker['kind']}",
                "href": f"/tasks?worker={worker['id']}",
            },
            "state": worker["state"],
            "queues": worker["queues"],
            "busy": t("busy_of", n=len(worker["tasks"]), slots=worker["concurrency"]),
            "beat": worker.get("last_beat_age"),
            "version": worker.get("version"),
            "started": worker.get("started_at"),
            "dim": worker["state"] == "gone",
            "do": [] if self.viewer.read_only else actions,
        }

    async def _act(self, worker_id: str, action: str) -> None:
        t, source = self.t, self.viewer.source
        if action == "undrain":
            await self.viewer.attempt(source.undrain(worker_id), t("undrained"))
        elif await self.viewer.confirm(
            t("drain_title", worker=worker_id), t("drain_text"), t("drain")
        ):
            await self.viewer.attempt(source.drain(worker_id), t("drained"))
        self._poll().nudge()


def _progress(known: Doc) -> Doc:
    return {"percent": known.get("percent"), "text": known.get("step")}
