"""`client.exports`: the files that exports have written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

from stepline.client.transport import Transport

CHUNK = 256 * 1024


class Exports:
    """Files by the `filename` or `download` of an `export_result`.

    Examples:
        >>> data = {"payload": {"a": 1}, "export_format": "json"}
        >>> kind = {"request_type": "data_export", "chain_type": "transform_export"}
        >>> report = await (await client.submit("chain", kind | {"data": data})).wait()
        >>> name = report["processed_data"]["export_result"]["filename"]
        >>> (await client.exports.read(name)).decode()
        '...'
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """A file bit by bit. Raises `NotFound`.

        Examples:
            >>> data = {"payload": {"a": 1}, "export_format": "json"}
            >>> kind = {"request_type": "data_export", "chain_type": "transform_export"}
            >>> report = await (await client.submit("chain", kind | {"data": data})).wait()
            >>> name = report["processed_data"]["export_result"]["filename"]
            >>> sum([len(chunk) async for chunk in client.exports.stream(name)]) > 0
            True
        """
        async with self._transport.download(_path(name)) as response:
            async for chunk in response.aiter_bytes(CHUNK):
                yield chunk

    async def read(self, name: str) -> bytes:
        """A whole file. Raises `NotFound`.

        Examples:
            >>> data = {"payload": {"a": 1}, "export_format": "json"}
            >>> kind = {"request_type": "data_export", "chain_type": "transform_export"}
            >>> report = await (await client.submit("chain", kind | {"data": data})).wait()
            >>> name = report["processed_data"]["export_result"]["filename"]
            >>> len(await client.exports.read(name)) > 0
            True
        """
        response = await self._transport.request("GET", _path(name))
        return response.content

    async def download(self, name: str, to: Path | str) -> Path:
        """Write a file to `to`, whole or not at all; into a folder, under its own name. Raises
        `NotFound`, `ConnectionFailed`, `OSError`.

        Examples:
            >>> data = {"payload": {"a": 1}, "export_format": "json"}
            >>> kind = {"request_type": "data_export", "chain_type": "transform_export"}
            >>> report = await (await client.submit("chain", kind | {"data": data})).wait()
            >>> name = report["processed_data"]["export_result"]["filename"]
            >>> (await client.exports.download(name, folder)).exists()
            True
        """
        target = Path(to)
        if await asyncio.to_thread(target.is_dir):
            target /= Path(name).name
        part = target.with_name(f"{target.name}.part")
        try:
            with await asyncio.to_thread(part.open, "wb") as file:
                async with aclosing(self.stream(name)) as chunks:
                    async for chunk in chunks:
                        await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return target


def _path(name: str) -> str:
    return f"/exports/{quote(name.removeprefix('/exports/'), safe='')}"
