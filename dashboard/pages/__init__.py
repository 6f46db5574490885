"""The pages: one file each, and where they stand in the navigation."""

from __future__ import annotations

from dashboard.page import Page
from dashboard.pages.dead_letters import DeadLettersPage
from dashboard.pages.failures import FailuresPage
from dashboard.pages.new_task import NewTaskPage
from dashboard.pages.overview import OverviewPage
from dashboard.pages.queues import QueuesPage
from dashboard.pages.scheduled import ScheduledPage
from dashboard.pages.system import SystemPage
from dashboard.pages.task import TaskPage
from dashboard.pages.tasks import TasksPage
from dashboard.pages.users import UsersPage
from dashboard.pages.workers import WorkersPage

ROUTES: tuple[tuple[str, type[Page]], ...] = (
    ("/", OverviewPage),
    ("/tasks", TasksPage),
    ("/tasks/{task_id}", TaskPage),
    ("/queues", QueuesPage),
    ("/workers", WorkersPage),
    ("/failures", FailuresPage),
    ("/dead-letters", DeadLettersPage),
    ("/new", NewTaskPage),
    ("/scheduled", ScheduledPage),
    ("/users", UsersPage),
    ("/system", SystemPage),
)

NAVIGATION: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "",
        (
            ("/", "nav_overview", "space_dashboard"),
            ("/tasks", "nav_tasks", "list_alt"),
            ("/queues", "nav_queues", "layers"),
            ("/workers", "nav_workers", "memory"),
        ),
    ),
    (
        "group_mend",
        (
            ("/failures", "nav_failures", "report_gmailerrorred"),
            ("/dead-letters", "nav_dead", "mark_email_unread"),
        ),
    ),
    (
        "group_run",
        (
            ("/new", "nav_new", "add_circle_outline"),
            ("/scheduled", "nav_scheduled", "schedule"),
        ),
    ),
    (
        "group_system",
        (
            ("/users", "nav_users", "group"),
            ("/system", "nav_system", "monitor_heart"),
        ),
    ),
)
"""Groups of (path, key of the name, glyph)."""
