"""Users: those that `batch` works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nicegui import ui
from stepline.errors import SteplineError

from dashboard.kit import Column, DataTable, box, button, card, link, words
from dashboard.page import Page
from dashboard.pages.common import field

if TYPE_CHECKING:
    from dashboard.source import Doc


class UsersPage(Page):
    title_key = "nav_users"

    def build(self) -> None:
        t = self.t
        self._users: dict[str, Doc] = {}
        with self.head(sub=t("users_hint")):
            if not self.viewer.read_only:
                button(
                    t("new_user"),
                    self._new,
                    icon_name="person_add",
                    classes="primary",
                    key="new-user",
                )
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("user_id", "ID", "mono"),
                    Column("username", t("username")),
                    Column("email", t("email")),
                    Column("created", t("created"), "ago", roomy=True),
                ],
                label=t("nav_users"),
                empty={"icon": "group", "title": t("no_users"), "hint": ""},
                on_act=self._act,
            )
            self._pager = box("sl-pager")

    async def load(self) -> None:
        page = await self.viewer.source.users(self.query.get("cursor"))
        self._users = {str(user["id"]): user for user in page["users"]}
        actions = [
            {"name": "change", "label": self.t("change"), "tone": ""},
            {"name": "delete", "label": self.t("delete"), "tone": "danger"},
        ]
        with self.root:
            self._table.set_rows(
                [
                    {
                        "id": str(user["id"]),
                        "user_id": str(user["id"]),
                        "username": user["username"],
                        "email": user["email"],
                        "created": user["created_at"],
                        "do": [] if self.viewer.read_only else actions,
                    }
                    for user in page["users"]
                ]
            )
            self._pager.clear()
            with self._pager:
                words(self.t("n_users", n=f"{page['total']:,}"), "grow")
                if page.get("next"):
                    link(self.t("older"), f"{self.path}?cursor={page['next']}", "sl-button small")

    async def _new(self) -> None:
        await self._ask(self.t("new_user"), "", "", None)

    async def _act(self, user_id: str, action: str) -> None:
        user = self._users[user_id]
        t = self.t
        if action == "change":
            await self._ask(t("change_user"), user["username"], user["email"], user["id"])
        elif await self.viewer.confirm(
            t("delete_title", name=user["username"]), t("delete_text"), t("delete"), danger=True
        ):
            await self.viewer.attempt(self.viewer.source.delete_user(user["id"]), t("deleted"))
            await self.reload()

    async def _ask(self, title: str, username: str, email: str, user_id: int | None) -> None:
        t, given = self.t, {"username": username, "email": email}
        source = self.viewer.source

        async def save() -> None:
            try:
                if user_id is None:
                    await source.create_user(**given)
                else:
                    await source.change_user(user_id, **given)
            except SteplineError as error:
                wrong.set_text(error.message)
                return
            dialog.close()
            self.viewer.tell(t("saved"))
            await self.reload()

        with self.viewer.client, ui.dialog(value=True) as dialog, ui.card().classes("sl-dialog"):
            words(title, tag="h2")
            with box("sl-form"):
                for name in ("username", "email"):
                    with box("row"):
                        words(t(name), "label")
                        field(t(name), given[name], _setter(given, name), throttle=0)
                wrong = words("", "wrong", "p").props("role=alert")
            with box("buttons"):
                button(t("not_now"), dialog.close, key="no")
                button(t("save"), save, classes="primary", key="yes")


def _setter(given: dict[str, str], name: str) -> Callable[[str], None]:
    return lambda text: given.update({name: text})
