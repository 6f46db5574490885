"""`GET /exports/{name}`: downloads, whole or in part."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from api.deps import ResourcesDep
from api.errors import ProblemError, not_found, responses, unavailable
from infra.exports import ExportInfo, ExportsStore, ExportsUnavailable

router = APIRouter(prefix="/exports", tags=["exports"])

log = structlog.get_logger(__name__)

ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


@router.head("/{name}", include_in_schema=False)
@router.get(
    "/{name}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        206: {"description": "The part that was asked for."},
        304: {"description": "The client has it already."},
        **responses(404, 416, 503),
    },
)
async def download(
    *,
    name: str,
    request: Request,
    resources: ResourcesDep,
    range_header: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A file that an export has written. Takes `Range` and `If-None-Match`."""
    info = await _find(resources.exports, name)
    etag = f'"{info.etag}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(info.name)}",
        "X-Content-Type-Options": "nosniff",
        "Last-Modified": info.modified.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    }
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, info.size, 200
    if range_header is not None and (if_range is None or if_range == etag):
        part = _part(range_header, info)
        if part is not None:
            start, end = part
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":  # reads nothing
        return Response(status_code=status, media_type=info.content_type, headers=headers)
    return StreamingResponse(
        resources.exports.read(name, start, end, etag=info.etag),
        status_code=status,
        media_type=info.content_type,
        headers=headers,
    )


async def _find(exports: ExportsStore, name: str) -> ExportInfo:
    try:
        info = await exports.stat(name)
    except ExportsUnavailable as error:
        log.warning("unavailable", error=str(error))
        raise unavailable(error.code, "The exports store does not answer now. Try again.") from None
    if info is None:
        raise not_found("export", name)
    return info


def _matches(if_none_match: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags


def _part(header: str, info: ExportInfo) -> tuple[int, int] | None:
    """The one range that was asked for; None (the whole file) for what we need not understand."""
    match = ONE_RANGE.fullmatch(header.strip())
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, info.size - int(last)), info.size
    else:
        start = int(first)
        end = min(int(last) + 1, info.size) if last else info.size
        if last and int(last) < start:
            return None
    if start >= info.size or start >= end:
        raise ProblemError(
            416,
            "range_not_satisfiable",
            f"The file has {info.size} bytes.",
            headers={"Content-Range": f"bytes */{info.size}"},
        )
    return start, end
