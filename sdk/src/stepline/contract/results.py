"""What the built-in task types give: the shapes of `result`, as the plain JSON that it is."""

from __future__ import annotations

from typing import Any, TypedDict


class LongResult(TypedDict):
    """Of `long`: times in seconds."""

    status: str
    processed_items: int
    execution_time: float
    result_data: dict[str, Any]


class QuickResult(TypedDict):
    """Of `quick`."""

    sum: float
    average: float
    max: float
    min: float
    count: int


class EmailResult(TypedDict):
    """Of `email`. `transport`: `smtp`, or `outbox` where no mail server is set."""

    status: str
    recipient: str
    subject: str
    message_id: str
    sent_at: str
    transport: str


class BatchResult(TypedDict):
    """Of `batch`."""

    status: str
    total_requested: int
    successfully_processed: int
    processed_users: list[dict[str, Any]]
    missing_user_ids: list[int]


class FetchResult(TypedDict):
    """Of `api_fetch`: `results` in the order of the addresses."""

    status: str
    total_urls: int
    successful_requests: int
    failed_requests: int
    results: list[dict[str, Any]]


class _ChainReport(TypedDict):
    success: bool
    request_type: str
    chain_type: str
    original_data: dict[str, Any]
    processed_data: dict[str, Any]
    processing_log: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    warnings: list[Any]
    total_handlers: int
    processing_duration: float
    task_info: dict[str, Any]


class ChainReport(_ChainReport, total=False):
    """Of a chain. `dynamic_chain_info` is there if it was made of handlers by name."""

    dynamic_chain_info: dict[str, Any]


class ChainBatchReport(TypedDict):
    """Of `chain_batch`: `results` in the order of the requests, each with its `batch_index`."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    chain_type: str
    results: list[dict[str, Any]]
    processing_summary: dict[str, Any]
    task_info: dict[str, Any]
