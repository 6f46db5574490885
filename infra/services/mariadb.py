"""MariaDB, which stands in for MySQL: strict, durable, on loopback, root without a password."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql

from infra.services.base import (
    Service,
    ServiceFailed,
    find_program,
)
from infra.services.ports import HOST, free_port

DATABASE = "stepline"


class MariaDB(Service):
    """A private MariaDB with a database `stepline`."""

    name = "MariaDB"
    package = "mariadb-server"
    programs = ("mariadbd", "mariadb-install-db")

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder)
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return database_url(self.port, database)

    def version(self) -> str:
        return version(self.port)

    def execute(self, statement: str) -> None:
        """Run one statement as root."""
        execute(self.port, statement)

    def start(self, timeout: float = 60.0, wanted: Callable[[], bool] = lambda: True) -> None:
        super().start(timeout, wanted)
        self.execute(create_statement(DATABASE))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        if self._data.exists():
            return
        # elsewhere, then renamed: what an interrupted installation leaves is no database
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        done = subprocess.run(  # noqa: S603
            [
                find_program("mariadb-install-db", self.package),
                "--no-defaults",
                f"--datadir={fresh}",
                f"--tmpdir={self.folder}",  # each server clears the one it starts in
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                *_as_user(),
            ],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C is for us
        )
        if done.returncode:
            raise ServiceFailed(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
        fresh.rename(self._data)

    def _command(self) -> Sequence[str]:
        return [
            find_program("mariadbd", self.package),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--tmpdir={self.folder}",
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
    """Not with the data: a socket's path may have some hundred characters only."""
    return Path(tempfile.gettempdir()) / f"stepline-{os.geteuid()}-mariadb-{port}.sock"


def database_url(port: int, database: str) -> str:
    return f"mysql+aiomysql://root@{HOST}:{port}/{database}"


def create_statement(database: str) -> str:
    return f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4"


def execute(port: int, statement: str) -> Any:
    """Run one statement as root; the first column of its first row, if any."""
    connection: Any = pymysql.connect(host=HOST, port=port, user="root", connect_timeout=2)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
        connection.commit()
    finally:
        connection.close()
    return row[0] if row else None


def version(port: int) -> str:
    """The version of the server that listens there."""
    return str(execute(port, "SELECT VERSION()"))


def answers(port: int) -> bool:
    """Is a database there that lets root in over TCP without a password?"""
    try:
        execute(port, "SELECT 1")
    except (pymysql.MySQLError, OSError):
        return False
    return True
