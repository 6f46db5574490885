"""MariaDB, which stands in for MySQL: strict, durable, on loopback, root without a password."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from infra.services.base import (
    HOST,
    Service,
    ServiceFailed,
    find_program,
    free_port,
    output_of,
)

DATABASE = "stepline"


class MariaDB(Service):
    """A private MariaDB with a database `stepline`."""

    name = "MariaDB"
    package = "mariadb-server"

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder)
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return database_url(self.port, database)

    def version(self) -> str:
        text = output_of(find_program("mariadbd", self.package), "--no-defaults", "--version")
        match = re.search(r"Ver (\S+)", text)
        return match.group(1) if match else "?"

    def execute(self, statement: str) -> None:
        """Run one statement as root."""
        execute(self.port, statement)

    def start(self, timeout: float = 60.0) -> None:
        super().start(timeout)
        self.execute(create_statement(DATABASE))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        if (self._data / "mysql").exists():
            return
        install = find_program("mariadb-install-db", self.package)
        done = subprocess.run(  # noqa: S603
            [
                install,
                "--no-defaults",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                *_as_user(),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceFailed(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")

    def _command(self) -> Sequence[str]:
        return [
            find_program("mariadbd", self.package),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={_socket(self.port)}",
            f"--pid-file={self.folder / 'mariadb.pid'}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=1",
            *_as_user(),
        ]

    def _answers(self) -> bool:
        return answers(self.port)

    def _after_stop(self) -> None:
        _socket(self.port).unlink(missing_ok=True)


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _socket(port: int) -> Path:
    """In /tmp: a socket's path may have some hundred characters only."""
    return Path(f"/tmp/stepline-mariadb-{port}.sock")  # noqa: S108


def database_url(port: int, database: str) -> str:
    return f"mysql+aiomysql://root@{HOST}:{port}/{database}"


def create_statement(database: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4"


def execute(port: int, statement: str) -> None:
    connection: Any = pymysql.connect(host=HOST, port=port, user="root", connect_timeout=2)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()
    finally:
        connection.close()


def answers(port: int) -> bool:
    """Is a database there that lets root in over TCP without a password?"""
    try:
        execute(port, "SELECT 1")
    except (pymysql.MySQLError, OSError):
        return False
    return True
