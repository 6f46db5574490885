"""What chains take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictInt, model_validator

from stepline.contract.base import FiniteNumber, Request
from stepline.contract.submissions import Named


class RequestType(StrEnum):
    """What a chain request is about; all handlers of the chain run whatever it is."""

    DATA_VALIDATION = "data_validation"
    DATA_TRANSFORMATION = "data_transformation"
    DATA_ENRICHMENT = "data_enrichment"
    DATA_EXPORT = "data_export"
    NOTIFICATION = "notification"


class ChainType(StrEnum):
    """Chains by name. `custom` and `dynamic` mean: as `handler_sequence` says."""

    VALIDATION_ONLY = "validation_only"
    TRANSFORM_EXPORT = "transform_export"
    ENRICH_NOTIFY = "enrich_notify"
    STANDARD = "standard"
    CUSTOM = "custom"
    DYNAMIC = "dynamic"

    @property
    def by_sequence(self) -> bool:
        return self in (ChainType.CUSTOM, ChainType.DYNAMIC)


class ChainHandler(StrEnum):
    """The handlers that a chain is made of."""

    VALIDATION = "validation"
    TRANSFORMATION = "transformation"
    ENRICHMENT = "enrichment"
    EXPORT = "export"
    NOTIFICATION = "notification"


class ValidationRule(Request):
    """What a field must be. Lengths count characters or items; bounds are inclusive."""

    type: (
        Literal[
            "string",
            "number",
            "integer",
            "boolean",
            "email",
            "phone",
            "url",
            "date",
            "array",
            "object",
        ]
        | None
    ) = None
    min_length: Annotated[StrictInt, Field(ge=0)] | None = None
    max_length: Annotated[StrictInt, Field(ge=0)] | None = None
    min_value: FiniteNumber | None = None
    max_value: FiniteNumber | None = None
    pattern: Annotated[str, Field(max_length=1_000)] | None = None
    enum: list[Any] | None = Field(default=None, min_length=1)
    required: StrictBool | None = None


ExportFormat = Literal["json", "csv", "xml", "yaml", "txt", "xlsx"]


class ExportConfig(Request):
    """How to export: field filters apply to each record, `flatten` joins nested keys by dots."""

    format: ExportFormat | None = None
    filename: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    fields: list[str] | None = None
    exclude_fields: list[str] | None = None
    flatten: StrictBool = False


class ChainData(Request):
    """What a chain works on."""

    payload: dict[str, Any] | list[dict[str, Any]]
    required_fields: list[str] = Field(default=[])
    validation_rules: dict[str, ValidationRule] = Field(default={})
    transformations: dict[str, str | list[str]] = Field(default={})
    export_format: ExportFormat | None = None
    export_config: ExportConfig | None = None
    notification_type: Literal["email", "webhook", "log"] | None = None
    recipients: list[Annotated[str, Field(min_length=1, max_length=2_048)]] = Field(
        default=[], max_length=1_000
    )
    message: Annotated[str, Field(max_length=100_000)] | None = None
    template: Literal["success", "error", "warning", "info"] | None = None


class ChainItem(Request):
    """One piece of chain work, also as an item of a batch."""

    request_type: RequestType
    data: ChainData
    metadata: dict[str, Any] = Field(default={})


class ChainRequest(ChainItem, Named):
    """A chain: named by `chain_type`, or given by `handler_sequence`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_type": "data_transformation",
                    "chain_type": "transform_export",
                    "data": {
                        "payload": {"first_name": "  john  ", "salary": "75000"},
                        "transformations": {"first_name": "strip", "salary": "to_number"},
                        "export_format": "json",
                    },
                }
            ]
        }
    )

    chain_type: ChainType = ChainType.STANDARD
    handler_sequence: list[ChainHandler] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sequence_fits_type(self) -> Self:
        if self.chain_type.by_sequence and self.handler_sequence is None:
            raise ValueError(f"chain_type {self.chain_type.value!r} needs a handler_sequence")
        if not self.chain_type.by_sequence and self.handler_sequence is not None:
            raise ValueError(
                f"handler_sequence goes with chain_type 'custom', not {self.chain_type.value!r}"
            )
        return self


class DynamicChainRequest(ChainItem, Named):
    """A chain by its handlers, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_type": "data_transformation",
                    "data": {
                        "payload": {"message": "hello world"},
                        "transformations": {"message": "uppercase"},
                        "notification_type": "email",
                        "recipients": ["admin@example.com"],
                    },
                    "handler_sequence": ["transformation", "export", "notification"],
                }
            ]
        }
    )

    handler_sequence: list[ChainHandler] = Field(
        min_length=1, max_length=50, examples=[["transformation", "export", "notification"]]
    )


class ChainBatchRequest(Named):
    """Several pieces of chain work as one task; a bad one fails alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "chain_type": "standard",
                    "batch_requests": [
                        {
                            "request_type": "data_validation",
                            "data": {
                                "payload": {"name": "User1", "email": "user1@example.com"},
                                "required_fields": ["name", "email"],
                            },
                        }
                    ],
                }
            ]
        }
    )

    batch_requests: list[ChainItem] = Field(min_length=1, max_length=1_000)
    chain_type: ChainType = ChainType.STANDARD
    handler_sequence: list[ChainHandler] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sequence_fits_type(self) -> Self:
        if self.chain_type.by_sequence != (self.handler_sequence is not None):
            raise ValueError("handler_sequence goes with chain_type 'custom', and only with it")
        return self
