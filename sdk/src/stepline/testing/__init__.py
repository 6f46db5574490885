"""Testing handlers without a broker, a database or a server.

`run_chain` runs a task type's handlers in order, in this process, with a context that records what
they do. Steps are retried as the engine would, but without waiting. For whole suites against a
running service there is the pytest fixture `stepline_server`.
"""

from stepline.testing.chain import ChainResult, run_chain
from stepline.testing.context import RecordingContext
from stepline.testing.doubles import (
    CannedFetcher,
    FixedUsers,
    MemoryExports,
    RecordingMailer,
    SentMail,
)

__all__ = [
    "CannedFetcher",
    "ChainResult",
    "FixedUsers",
    "MemoryExports",
    "RecordingContext",
    "RecordingMailer",
    "SentMail",
    "run_chain",
]
