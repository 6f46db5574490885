"""RabbitMQ with its management UI, a name service of its own, and everything on loopback."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from infra.services.base import (
    STOP_TIMEOUT,
    Service,
    ServiceFailed,
    find_program,
)
from infra.services.greeting import broker_version
from infra.services.guard import Guard
from infra.services.ports import HOST, free_port

USER = PASSWORD = "guest"  # noqa: S105  (RabbitMQ's own, which it admits from loopback only)
CTL_TIMEOUT = 60.0
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
"""Debian's wrappers in /usr/sbin change the user and drop the environment: these do not."""


class RabbitMQ(Service):
    """A private node. Its epmd is its own too, and ends with it."""

    name = "RabbitMQ"
    package = "rabbitmq-server"
    programs = ("rabbitmq-server", "rabbitmqctl", "epmd")

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        management_port: int | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.port = port or free_port()
        self.management_port = management_port or free_port()
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._extra = tuple(extra)
        self._epmd: subprocess.Popen[bytes] | None = None
        self._epmd_guard: Guard | None = None

    @property
    def url(self) -> str:
        return amqp_url(self.port)

    @property
    def management_url(self) -> str:
        return f"http://{HOST}:{self.management_port}"

    @property
    def node(self) -> str:
        """The same whatever the port: the data is filed under it. Its epmd knows no other node."""
        return "stepline@localhost"

    def version(self) -> str:
        return version(self.port) or "?"

    def management(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the management API; its JSON answer, or None."""
        return management(self.management_port, method, path, body)

    def ctl(self, *arguments: str) -> str:
        """`rabbitmqctl` against this node. Raises `ServiceFailed`, also if it takes a minute."""
        try:
            done = subprocess.run(  # noqa: S603
                [_script("rabbitmqctl"), "--node", self.node, *arguments],
                env=self._full_environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=CTL_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceFailed(
                f"rabbitmqctl {' '.join(arguments)}: no answer within {CTL_TIMEOUT:g} s"
            ) from error
        if done.returncode:
            raise ServiceFailed(f"rabbitmqctl {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _prepare(self) -> None:
        self._write("enabled_plugins", "[rabbitmq_management].\n")
        self._write(
            "rabbitmq.conf",
            "\n".join(
                [
                    f"listeners.tcp.1 = {HOST}:{self.port}",
                    f"management.tcp.ip = {HOST}",
                    f"management.tcp.port = {self.management_port}",
                    "log.console = true",
                    "log.console.level = warning",
                    "disk_free_limit.absolute = 50MB",
                    *self._extra,
                    "",
                ]
            ),
        )
        self._write("advanced.config", "[].\n")
        if self._epmd is None or self._epmd.poll() is not None:
            self._after_stop()
            self._start_epmd()

    def _start_epmd(self) -> None:
        self._epmd = subprocess.Popen(  # noqa: S603
            [
                find_program("epmd", "erlang-base"),
                "-address",
                "-port",
                str(self._epmd_port),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
        )
        self._epmd_guard = Guard(self._epmd.pid)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _command(self) -> Sequence[str]:
        return [_script("rabbitmq-server")]

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "rabbitmq.pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }

    def _full_environment(self) -> dict[str, str]:
        return os.environ | dict(self._environment())

    def _answers(self) -> bool:
        return answers(self.management_port) and version(self.port) is not None

    def _after_stop(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_TIMEOUT)
            self._epmd = None
        if self._epmd_guard is not None:
            self._epmd_guard.dismiss()
            self._epmd_guard = None


def _script(name: str) -> str:
    direct = SCRIPTS / name
    return str(direct) if direct.exists() else find_program(name, RabbitMQ.package)


def amqp_url(port: int, vhost: str = "%2F") -> str:
    return f"amqp://{USER}:{PASSWORD}@{HOST}:{port}/{vhost}"


def management(port: int, method: str, path: str, body: Any = None) -> Any:
    """Call a management API as guest."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text else None


def answers(management_port: int) -> bool:
    """Does a management API let guest in, with a node that runs?"""
    try:
        nodes = management(management_port, "GET", "/api/nodes")
    except (OSError, HTTPException, ValueError):
        return False
    return bool(nodes) and all(node.get("running") for node in nodes)


def version(port: int) -> str | None:
    """The version of the RabbitMQ on `port`, if guest may log in there."""
    return broker_version(port, USER, PASSWORD)
