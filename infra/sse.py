"""Server-Sent Events as bytes: encoded once, however many read them."""

from __future__ import annotations


def frame(event_id: str, kind: str, data: bytes) -> bytes:
    """One event; `data` is JSON, hence a single line."""
    return f"id: {event_id}\nevent: {kind}\ndata: ".encode() + data + b"\n\n"


def chunk(body: bytes) -> bytes:
    """`body`, which is not empty, as HTTP/1.1 sends a part of a response whose length it does not
    know."""
    return b"%x\r\n%b\r\n" % (len(body), body)
