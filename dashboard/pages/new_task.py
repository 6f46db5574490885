"""New task: a form made from the type's own schema, then straight to the live view."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nicegui.element import Element
from stepline.errors import BadRequest, SteplineError

from dashboard.kit import box, button, card, notice, words
from dashboard.page import Page
from dashboard.pages.common import EMIT_VALUE, select
from dashboard.schema_form import SchemaForm

if TYPE_CHECKING:
    from dashboard.source import Doc

WHEN = frozenset({"delay", "run_at", "expires_in", "deadline"})


class NewTaskPage(Page):
    title_key = "nav_new"

    def build(self) -> None:
        self._types: dict[str, Doc] = {}
        self._form: SchemaForm | None = None
        self._when: SchemaForm | None = None
        self._json: str | None = None
        with self.head(sub=self.t("new_hint")):
            self._switch = box("buttons")
        self._inside = box("sl-page")

    async def load(self) -> None:
        if self.viewer.read_only:
            with self._inside, notice("info", "lock", self.t("read_only"), self.t("new_read_only")):
                return
        self._types = {item["name"]: item for item in await self.viewer.source.task_types()}
        with self.root:
            self._draw()

    @property
    def _type(self) -> Doc | None:
        return self._types.get(self.query.get("type", "")) or next(iter(self._types.values()), None)

    def _draw(self) -> None:
        t, kind = self.t, self._type
        self._inside.clear()
        if kind is None:
            return
        schema = kind["json_schema"]
        example: Doc = next(iter(schema.get("examples", [])), {})
        with self._inside, box("sl-grid"):
            with card(classes="w-7"):
                with box("sl-form"), box("row"):
                    words(t("type"), "label")
                    names = [(name, name) for name in sorted(self._types)]
                    select(t("type"), kind["name"], names, self._choose)
                    words(kind["description"], "hint", "p")
                self._draw_fields(schema)
                self._problem = words("", "sl-error", "p").props("role=alert")
                with box("sl-head-buttons"):
                    button(
                        t("submit"), self._submit, icon_name="send", classes="primary", key="submit"
                    )
                    if example:
                        button(t("fill_example"), lambda: self._fill(example), key="example")
                    as_json = self._json is not None
                    label = t("as_form") if as_json else t("as_json")
                    button(label, self._toggle, classes="quiet", key="as-json")
            with card(t("what_runs"), classes="w-5"):
                with box("sl-sequence", "ol"):
                    for place, handler in enumerate(kind["handlers"] or [t("as_chosen")]):
                        with box("", "li"):
                            words(f"{place + 1}", "place")
                            words(handler, "grow")
                words(t("goes_to", queue=kind["queue"]), "hint faint", "p")

    def _draw_fields(self, schema: Doc) -> None:
        t = self.t
        if self._json is not None:
            editor = Element("textarea").classes("sl-field sl-code")
            editor.props.update({"defaultValue": self._json, "rows": 18, "spellcheck": "false"})
            editor.props["aria-label"] = "JSON"
            editor.on("input", lambda event: self._typed(str(event.args)), js_handler=EMIT_VALUE)
            return
        self._form = SchemaForm(t, schema, skip=WHEN)
        self._form.build(self._values if self._values is not None else _start(schema))
        if WHEN & set(schema.get("properties", {})):
            with box("sl-details", "details"):
                words(t("when"), tag="summary")
                self._when = SchemaForm(t, schema, skip=frozenset(set(schema["properties"]) - WHEN))
                self._when.build({})

    _values: Doc | None = None

    def _choose(self, name: str) -> None:
        self.query["type"] = name
        self.viewer.keep(self.path, self.query)
        self._values, self._json = None, None
        self._draw()

    def _fill(self, example: Doc) -> None:
        self._values = example
        if self._json is not None:
            self._json = json.dumps(example, indent=2, ensure_ascii=False)
        with self.root:
            self._draw()

    def _toggle(self) -> None:
        if self._json is None:
            value = self._read()
            if value is None:
                return
            self._json = json.dumps(value, indent=2, ensure_ascii=False)
        else:
            value = self._read()
            if value is None:
                return
            self._values, self._json = value, None
        with self.root:
            self._draw()

    def _typed(self, text: str) -> None:
        self._json = text

    def _read(self) -> Doc | None:
        """The submission as it stands; None if something is wrong, which is then said."""
        if self._json is not None:
            try:
                value = json.loads(self._json)
            except ValueError as error:
                self._problem.set_text(self.t("no_json", why=error))
                return None
            if not isinstance(value, dict):
                self._problem.set_text(self.t("no_object"))
                return None
            return value
        parts = [form.read() for form in (self._form, self._when) if form is not None]
        if any(part is None for part in parts):
            return None
        body = {name: value for part in parts for name, value in (part or {}).items()}
        if body.get("handler_sequence") and "chain_type" in body:
            body["chain_type"] = "custom"  # what a sequence means; the names are for the others
        return body

    async def _submit(self) -> None:
        kind, body = self._type, self._read()
        if kind is None or body is None:
            return
        try:
            task_id = await self.viewer.source.submit(kind["path"], body)
        except BadRequest as error:
            shown = self._form is not None and self._json is None
            if not (shown and self._form is not None and self._form.show_problems(error.errors)):
                details = [f"{item['field']}: {item['message']}" for item in error.errors]
                self._problem.set_text("; ".join(details) or error.message)
        except SteplineError as error:
            self.viewer.fail(error)
        else:
            self.viewer.go(f"/tasks/{task_id}")


def _start(schema: Doc) -> Doc:
    """What the form begins with: of fields that are required, the example's."""
    example: Doc = next(iter(schema.get("examples", [])), {})
    required = schema.get("required", ())
    return {name: value for name, value in example.items() if name in required}
