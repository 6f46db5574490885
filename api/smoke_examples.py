"""The README's examples and the inherited page's, with what must come of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One request. `ends`: it is a task, and `check` looks at its result; else at the answer."""

    name: str
    method: str
    path: str
    body: Any
    check: Callable[[Any], bool]
    ends: bool = False


def read(path: str, check: Callable[[Any], bool]) -> Example:
    return Example(f"GET {path}", "GET", path, None, check)


def task(path: str, body: Any, check: Callable[[Any], bool], note: str = "") -> Example:
    return Example(f"POST {path}{f' ({note})' if note else ''}", "POST", path, body, check, True)


def demonstration(path: str, count: int) -> Example:
    return Example(
        f"POST {path}", "POST", path, None, lambda found: bool(found["total_tasks"] == count)
    )


VALIDATION = {
    "request_type": "data_validation",
    "data": {
        "payload": {"name": "Alice Smith", "age": 25, "email": "alice@example.com"},
        "required_fields": ["name", "email"],
        "validation_rules": {
            "name": {"type": "string", "min_length": 2},
            "age": {"type": "number"},
        },
    },
    "chain_type": "validation_only",
}
TRANSFORM_EXPORT = {
    "request_type": "data_transformation",
    "data": {
        "payload": {"first_name": "  john  ", "salary": "75000"},
        "transformations": {"first_name": "strip", "salary": "to_number"},
        "export_format": "json",
    },
    "chain_type": "transform_export",
}
DYNAMIC = {
    "request_type": "data_transformation",
    "data": {
        "payload": {"message": "hello world"},
        "transformations": {"message": "uppercase"},
        "notification_type": "email",
        "recipients": ["admin@example.com"],
    },
    "handler_sequence": ["transformation", "export", "notification"],
}
BATCH = {
    "batch_requests": [
        {
            "request_type": "data_validation",
            "data": {
                "payload": {"name": name, "email": f"{name.lower()}@example.com"},
                "required_fields": ["name", "email"],
            },
        }
        for name in ("User1", "User2")
    ],
    "chain_type": "standard",
}

EXAMPLES = (
    read("/health", lambda found: bool(found["status"] == "healthy")),
    read("/", lambda found: bool(found["name"] == "Stepline")),
    task(
        "/tasks/long",
        {"duration": 2, "task_name": "大数据ETL处理"},
        lambda found: bool(found["status"] == "completed" and found["processed_items"] > 0),
    ),
    task(
        "/tasks/quick",
        {"numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]},
        lambda found: bool(found["sum"] == 55 and found["average"] == 5.5),
    ),
    task(
        "/tasks/email",
        {
            "recipient": "user@company.com",
            "subject": "系统处理完成通知",
            "message": "您的数据处理任务已完成，请查看结果。",
        },
        lambda found: bool(found["status"] == "sent"),
    ),
    task(
        "/tasks/batch",
        {"user_ids": [101, 102, 103, 104, 105]},
        lambda found: bool(found["successfully_processed"] + len(found["missing_user_ids"]) == 5),
    ),
    task(
        "/tasks/api-fetch",
        {
            "urls": [
                "https://jsonplaceholder.typicode.com/posts/1",
                "https://jsonplaceholder.typicode.com/users/1",
            ]
        },
        lambda found: bool(found["total_urls"] == 2 and len(found["results"]) == 2),
        "each address with its own result, also without the internet",
    ),
    task("/chain/process", VALIDATION, lambda found: bool(found["success"]), "validation_only"),
    task(
        "/chain/process",
        TRANSFORM_EXPORT,
        lambda found: bool(
            found["processed_data"]["transformed_payload"]
            == {"first_name": "john", "salary": 75000}
        ),
        "transform_export",
    ),
    task(
        "/chain/dynamic",
        DYNAMIC,
        lambda found: bool(len(found["dynamic_chain_info"]["handlers_used"]) == 3),
    ),
    task("/chain/batch", BATCH, lambda found: bool(found["successful_requests"] == 2)),
    demonstration("/chain/demo", 6),
    demonstration("/demo/run-concurrent-tasks", 5),
    read("/tasks/", lambda found: bool(found["total"] >= 1 and found["tasks"])),
    read("/tasks/active", lambda found: bool(found["workers"])),
    read("/users/", lambda found: bool(found["total"] >= 1)),
)
