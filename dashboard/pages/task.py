"""Task: one piece of work, from its submission to its end, live while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.kit import Ago, Badge, Chain, Span, Waterfall, box, card, fact, link, notice, words
from dashboard.page import Page
from dashboard.pages.common import task_name
from dashboard.pages.task_actions import TaskActions
from dashboard.pages.task_parts import TaskParts, lanes_of

if TYPE_CHECKING:
    from dashboard.source import Doc

CALM = 0.25
"""Seconds between two askings for a task that changes all the time."""

ENDED = ("SUCCESS", "FAILURE", "CANCELLED")


class TaskPage(Page):
    title_key = "task"

    def build(self) -> None:
        self._task: Doc = {}
        self._changed = asyncio.Event()
        with box("sl-head", "header"):
            with box("titles"):
                link(self.t("nav_tasks"), "/tasks", "sl-crumb", "chevron_left")
                self._heading = box("sl-heading")
                with self._heading:
                    words(self.t("task"), tag="h1")
            self.actions = TaskActions(self)
        self._trouble = box("sl-trouble")
        self._body = box("sl-page")
        self._body.set_visibility(False)  # until there is something to show
        with self._body:
            self._build_body()
        self.start(self._keep_fresh())

    def _build_body(self) -> None:
        self._notices = box("sl-page")
        with card() as self._facts_head:
            self._facts = box("sl-facts")
        with card(self.t("chain")):
            self._chain = Chain(nodes=[])
        with card(self.t("waterfall"), sub=self.t("waterfall_hint")):
            self._waterfall = Waterfall(lanes=[])
        self._parts = TaskParts(self)

    @property
    def title(self) -> str:
        return task_name(self._task) if self._task else self.t("task")

    async def load(self) -> None:
        task_id = self.names["task_id"]
        source = self.viewer.source
        task = await self.viewer.live.once(f"task {task_id}", lambda: source.task(task_id), 0.1)
        if task == self._task:
            return
        self._task = task
        with self.root:
            self._show()

    def on_events(self, events: Sequence[Doc]) -> None:
        for event in events:
            if event["kind"] in ("reset", "connection"):
                self._changed.set()
            elif event["task_id"] != self.names["task_id"]:
                continue
            elif event["kind"] == "step.progress" and self._task:
                self._progress(event)
            else:
                self._changed.set()

    async def _keep_fresh(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.reload()
            if self._task.get("status") in ENDED and not self._task.get("recorded", True):
                self._changed.set()  # history is about to hear of the end
                await asyncio.sleep(0.5)
            await asyncio.sleep(CALM)

    def _progress(self, event: Doc) -> None:
        steps = [dict(step) for step in self._task["steps"]]
        index = event.get("index")
        if isinstance(index, int) and index < len(steps):
            steps[index] |= {"percent": event.get("percent"), "message": event.get("message")}
            self._task = self._task | {"steps": steps}
            self._chain.show(nodes=steps)

    # What is shown

    def _show(self) -> None:
        task = self._task
        self._body.set_visibility(True)
        self._show_heading()
        self.actions.show(task)
        self._notices.clear()
        with self._notices:
            self._show_notices()
        self._facts.clear()
        with self._facts:
            self._show_facts()
        self._chain.show(nodes=task["steps"])
        lanes = lanes_of(task, self.t)
        end = task.get("finished_at") if task["status"] in ENDED else None
        self._waterfall.show(lanes=lanes, **{"from": task["created_at"], "to": end})
        self._parts.show(task)

    def _show_heading(self) -> None:
        self._heading.clear()
        with self._heading:
            with box("sl-title"):
                words(task_name(self._task), tag="h1")
                Badge(status=self._task["status"]).classes("big")
            with box("sub"):
                words(self._task["task_id"], "sl-mono")

    def _show_notices(self) -> None:
        task, t = self._task, self.t
        if waiting := task.get("waiting"):
            text = t(f"wait_{waiting['reason']}", ahead=waiting.get("ahead") or 0)
            with notice("info", "hourglass_empty", t("why_waiting"), text):
                if waiting.get("until"):
                    Ago(at=waiting["until"])
        if error := task.get("error"):
            tone = "cancelled" if task["status"] == "CANCELLED" else "danger"
            place = f" · {error['handler']}" if error.get("handler") else ""
            with notice(tone, "error_outline", f"{error['code']}{place}", error["message"]):
                pass

    def _show_facts(self) -> None:
        task, t = self._task, self.t
        fact(t("type"), value=task["type"])
        with fact(t("queue")):
            link(task["queue"], f"/queues?q={task['queue']}")
        if task.get("worker"):
            with fact(t("worker")):
                link(task["worker"], f"/workers?w={task['worker']}")
        fact(t("attempt"), value=str(task["attempt"]))
        with fact(t("created")):
            Ago(at=task["created_at"])
        if task.get("run_at"):
            with fact(t("run_at")):
                Ago(at=task["run_at"])
        if task.get("deadline"):
            with fact(t("deadline")):
                Ago(at=task["deadline"])
        if task.get("started_at"):
            with fact(t("started")):
                Ago(at=task["started_at"])
            with fact(t("took")):
                Span(**{"from": task["started_at"], "to": task.get("finished_at")})
        if task.get("retry_of"):
            with fact(t("retry_of")):
                link(task["retry_of"], f"/tasks/{task['retry_of']}", "sl-mono")
        if task.get("retried_by"):
            with fact(t("retried_by")):
                for task_id in task["retried_by"]:
                    link(task_id, f"/tasks/{task_id}", "sl-mono")
