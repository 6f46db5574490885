"""`python -m infra.compose_env`: write `.env` for compose once, with passwords of its own, and tell
where everything is."""

from __future__ import annotations

import secrets
import sys
from hashlib import sha256
from pathlib import Path

ENV_FILE = Path(__file__).resolve().parent.parent / ".env"


def new_environment(make_key_line: str, client_key: str) -> str:
    """The file's text: a password a service, and one API key."""
    return "\n".join(
        [
            "# Written once by ./task up. Delete it, and the volumes with it, to begin anew.",
            f"RABBITMQ_PASSWORD={secrets.token_urlsafe(24)}",
            f"REDIS_PASSWORD={secrets.token_urlsafe(24)}",
            f"MYSQL_PASSWORD={secrets.token_urlsafe(24)}",
            f"STEPLINE_API_KEYS={make_key_line}",
            "# what clients send as `Authorization: Bearer …`",
            f"STEPLINE_CLIENT_KEY={client_key}",
            "",
        ]
    )


def read(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def ensure(path: Path = ENV_FILE) -> bool:
    """Write the file unless it is there; True if it was written. Only its owner may read it."""
    if path.exists():
        return False
    secret = secrets.token_urlsafe(32)
    digest = sha256(secret.encode()).hexdigest()
    path.touch(mode=0o600)
    path.write_text(new_environment(f"operator:{digest}", f"operator.{secret}"))
    return True


def addresses(values: dict[str, str]) -> str:
    return "\n".join(
        [
            "",
            "API         http://127.0.0.1:8000   (docs at /docs)",
            f"  key       Authorization: Bearer {values['STEPLINE_CLIENT_KEY']}",
            "Dashboard   http://127.0.0.1:5555   (sign in with the key)",
            "RabbitMQ    http://127.0.0.1:15672",
            f"  login     stepline / {values['RABBITMQ_PASSWORD']}",
            "Mail        http://127.0.0.1:8025   (every mail ends here)",
            "More workers: docker compose up -d --scale worker=3",
        ]
    )


def main() -> int:
    if "--addresses" in sys.argv:
        print(addresses(read(ENV_FILE)))  # noqa: T201
        return 0
    if ensure():
        print(f"wrote {ENV_FILE.name} with new passwords", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
