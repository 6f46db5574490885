"""XML: `<records>` of `<record>`s; each element says its value's type, so that it can be read back.

A field whose name is no XML name becomes `<field name="…">`. Characters that XML 1.0 cannot hold
are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from typing import Any

from lxml import etree

from handlers.exporters.shape import Count, unseen
from handlers.exporters.text import plain

XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
RECORDS_A_PIECE = 200

TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def to_xml(records: list[Any], single: bool, count: Count = unseen) -> Generator[bytes, None, None]:
    """One `<record>` for one object, `<records>` around them for a list."""
    yield b'<?xml version="1.0" encoding="utf-8"?>\n'
    if single:
        yield etree.tostring(element("record", records[0]), encoding="utf-8") + b"\n"
        return
    yield b"<records>\n"
    for start in range(0, len(records), RECORDS_A_PIECE):
        buffer = io.BytesIO()
        piece = records[start : start + RECORDS_A_PIECE]
        for record in piece:
            buffer.write(etree.tostring(element("record", record), encoding="utf-8") + b"\n")
        yield buffer.getvalue()
        count(start + len(piece))
    yield b"</records>\n"


def element(name: str, value: Any) -> Any:
    """The value as an element of that name."""
    if XML_NAME.fullmatch(name) and not name.lower().startswith("xml"):
        node = etree.Element(name)
    else:
        node = etree.Element("field", name=ILLEGAL.sub("", name))
    node.set("type", TYPES[type(value)])
    if isinstance(value, dict):
        node.extend(element(key, item) for key, item in value.items())
    elif isinstance(value, list):
        node.extend(element("item", item) for item in value)
    elif value is not None:
        # a carriage return has to be written as a reference: a parser makes a line feed of it
        node.text = ILLEGAL.sub("", plain(value))
    return node
