"""Log in to a RabbitMQ and leave again: the one sure sign that it takes us, and its version.

Synchronous, since a service may be started from within a running event loop.
"""

from __future__ import annotations

import socket

from pamqp import commands, exceptions, frame, header
from pamqp.common import FieldTable

from infra.services.ports import HOST

TIMEOUT = 2.0


def broker_version(port: int, user: str, password: str) -> str | None:
    """The version of the RabbitMQ on `port`; None if there is none, or it does not let us in."""
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
            connection.sendall(header.ProtocolHeader().marshal())
            start = _receive(connection)
            if not isinstance(start, commands.Connection.Start):
                return None
            connection.sendall(frame.marshal(_login(user, password), 0))
            if not isinstance(_receive(connection), commands.Connection.Tune):
                return None
    except (OSError, exceptions.PAMQPException):
        return None
    return str((start.server_properties or {}).get("version", "?"))


def _login(user: str, password: str) -> commands.Connection.StartOk:
    # with this capability a refusal is answered at once, and not by a silence of seconds
    properties: FieldTable = {"capabilities": {"authentication_failure_close": True}}
    return commands.Connection.StartOk(
        client_properties=properties, mechanism="PLAIN", response=f"\0{user}\0{password}"
    )


def _receive(connection: socket.socket) -> object:
    """One frame. Raises `OSError` when the connection ends before it."""
    data = b""
    while chunk := connection.recv(65_536):
        data += chunk
        try:
            return frame.unmarshal(data)[2]
        except exceptions.UnmarshalingException:
            continue  # not whole yet
    raise ConnectionResetError("closed in mid-frame")
