"""The demonstrations' payloads: real requests, one of each kind."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from stepline.contract import (
    BatchRequest,
    ChainBatchRequest,
    ChainRequest,
    EmailRequest,
    FetchRequest,
    LongRequest,
    QuickRequest,
)

Demonstration = tuple[str, str, BaseModel]
"""Task type, description, payload."""


def concurrent(api_url: str, *, open_pages_only: bool) -> list[Demonstration]:
    """One task of each type. What is fetched is the service's own; where keys are asked, only what
    needs none."""
    pages = (
        ["/health/live", "/health/ready"] if open_pages_only else ["/", "/health/live", "/users/"]
    )
    return [
        (
            "long",
            "Five seconds of long work, shown second by second",
            LongRequest(duration=5, task_name="大数据ETL处理"),
        ),
        (
            "quick",
            "Figures of ten numbers",
            QuickRequest(numbers=list(range(1, 11)), task_name="Figures"),
        ),
        (
            "email",
            "A mail",
            EmailRequest(
                recipient="user@company.com",
                subject="系统处理完成通知",
                message="您的数据处理任务已完成，请查看结果。",
                task_name="Notice by mail",
            ),
        ),
        (
            "batch",
            "Five users",
            BatchRequest(user_ids=[101, 102, 103, 104, 105], task_name="Five users"),
        ),
        (
            "api_fetch",
            "The service's own pages",
            FetchRequest(
                urls=[f"{api_url}{page}" for page in pages],
                task_name="Own pages",
            ),
        ),
    ]


def _chain(
    request_type: str, chain_type: str, data: dict[str, Any], name: str, **more: Any
) -> ChainRequest:
    return ChainRequest.model_validate(
        {
            "request_type": request_type,
            "chain_type": chain_type,
            "data": data,
            "task_name": name,
            **more,
        }
    )


VALIDATION = {
    "payload": {"name": "Alice Smith", "age": 25, "email": "alice@example.com"},
    "required_fields": ["name", "email"],
    "validation_rules": {
        "name": {"type": "string", "min_length": 2},
        "age": {"type": "number", "min_value": 0},
        "email": {"type": "email"},
    },
}
TRANSFORMATION = {
    "payload": {"first_name": "  john  ", "salary": "75000"},
    "transformations": {"first_name": ["strip", "title_case"], "salary": "to_number"},
    "export_format": "json",
}
ENRICHMENT = {
    "payload": {
        "first_name": "小明",
        "last_name": "王",
        "email": "xiaoming@example.com",
        "phone": "+8613800138000",
        "country": "中国",
        "birth_date": "1995-05-20",
    },
    "notification_type": "log",
    "recipients": ["operations"],
}
STANDARD = {
    "payload": [
        {"name": "  alice smith ", "email": "Alice@Example.com", "country": "USA", "age": 34},
        {"name": "jürgen groß", "email": "juergen@example.de", "country": "Germany", "age": 51},
    ],
    "required_fields": ["name", "email"],
    "validation_rules": {"email": {"type": "email"}, "age": {"type": "integer", "min_value": 0}},
    "transformations": {"name": ["strip", "title_case"], "email": "normalize_email"},
    "export_format": "csv",
    "notification_type": "email",
    "recipients": ["data@company.com"],
}
DYNAMIC = {
    "payload": {"message": "hello world"},
    "transformations": {"message": "uppercase"},
    "notification_type": "email",
    "recipients": ["admin@example.com"],
}


def chains() -> list[Demonstration]:
    """The four chain types, one dynamic chain and one batch."""
    return [
        (
            "chain",
            "Validation only",
            _chain("data_validation", "validation_only", VALIDATION, "Validate"),
        ),
        (
            "chain",
            "Transformation and export",
            _chain(
                "data_transformation", "transform_export", TRANSFORMATION, "Transform and export"
            ),
        ),
        (
            "chain",
            "Enrichment and notification",
            _chain("data_enrichment", "enrich_notify", ENRICHMENT, "Enrich and notify"),
        ),
        (
            "chain",
            "The standard chain of five handlers over a list",
            _chain("data_export", "standard", STANDARD, "Standard chain"),
        ),
        (
            "chain",
            "A chain put together for the occasion",
            _chain(
                "data_transformation",
                "dynamic",
                DYNAMIC,
                "Dynamic chain",
                handler_sequence=["transformation", "export", "notification"],
            ),
        ),
        (
            "chain_batch",
            "Two requests as one task",
            ChainBatchRequest.model_validate(
                {
                    "task_name": "Batch of chains",
                    "chain_type": "standard",
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
                }
            ),
        ),
    ]
