"""The dashboard's words: one table a language, the same keys in each."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.i18n.en import ENGLISH
from dashboard.i18n.zh import CHINESE

TABLES: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "zh": CHINESE}
NAMES: Mapping[str, str] = {"en": "English", "zh": "中文"}

IN_BROWSER = (
    *("just_now", "pick_all", "pick_one", "actions", "waterfall", "reveal", "more_items"),
    *("copy", "copied"),
)
"""The words that the browser's components need, besides those of the states."""


class Texts:
    """The words of one language. `texts("key", n=3)` fills `{n}` in."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._table = TABLES[language]

    def __call__(self, key: str, **values: object) -> str:
        return self._table[key].format(**values) if values else self._table[key]

    def for_browser(self) -> dict[str, str]:
        return {
            key: text
            for key, text in self._table.items()
            if key in IN_BROWSER or key.startswith("status_")
        }


def choose_language(cookie: str | None, accepted: str) -> str:
    """The language asked for by cookie, else the browser's first that we have, else English."""
    if cookie is not None and cookie in TABLES:
        return cookie
    for part in accepted.lower().split(","):
        language = part.split(";")[0].strip().split("-")[0]
        if language in TABLES:
            return language
    return "en"
