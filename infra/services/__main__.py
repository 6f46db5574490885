"""`python -m infra.services`: local RabbitMQ, Redis and MariaDB, until Ctrl-C.

What runs already on a standard port and lets us in is used as it is, and left running. The lines
to export go to stdout, everything else to stderr: `./task services > urls` makes a file to source.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from stepline.errors import SteplineError

from infra.services.base import Service, ServiceMissing
from infra.services.local import LOCAL, Found, Local
from infra.settings import load_settings

console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    ours: list[Service] = []
    try:
        folder = load_settings().data_dir / "services"
        found = find_all(folder, ours, stop)
        if not stop.is_set():
            show(found)
            stop.wait()
    except SteplineError as error:
        console.print(str(error), style="red")
        return 1
    finally:
        stop_all(ours)
    return 0


def find_all(folder: Path, ours: list[Service], stop: threading.Event) -> list[Found]:
    """What runs already, and the rest started, all at once; those started are in `ours`, also
    when this raises."""
    with ThreadPoolExecutor(len(LOCAL)) as pool:
        running = list(pool.map(lambda local: local.running(), LOCAL))
        require_programs([local for local, known in zip(LOCAL, running, strict=True) if not known])

        def start(local: Local, known: Found | None) -> Found:
            return known or start_own(local, folder, ours, stop)

        attempts = [
            pool.submit(start, local, known) for local, known in zip(LOCAL, running, strict=True)
        ]
    failures = [failure for attempt in attempts if (failure := attempt.exception())]
    if stop.is_set():
        return []
    if failures:
        raise SteplineError("\n".join(str(failure) for failure in failures))
    return [attempt.result() for attempt in attempts]


def require_programs(wanted: Sequence[Local]) -> None:
    """Raise `ServiceMissing` in one sentence that names all packages to install."""
    lacking = {local.package: missing for local in wanted if (missing := local.kind.missing())}
    if lacking:
        programs = ", ".join(name for missing in lacking.values() for name in missing)
        raise ServiceMissing(
            f"{programs} not found; on Debian or Ubuntu: `apt-get install {' '.join(lacking)}`"
        )


def start_own(local: Local, folder: Path, ours: list[Service], stop: threading.Event) -> Found:
    service = local.own(folder / local.kind.name.lower())
    console.print(f"  starting {service.name}, with its data in {os.path.relpath(service.folder)}")
    service.start(wanted=lambda: not stop.is_set())
    ours.append(service)
    return local.started(service)


def show(found: Sequence[Found]) -> None:
    for item in found:
        console.print(f"  ✓ {item.note}", style="green")
    console.print("\nIn another terminal:\n")
    for item in found:
        print(f"export STEPLINE_{item.setting}={item.url}", flush=True)  # noqa: T201
    console.print(
        "\nthen ./task migrate, and ./task api, ./task worker, ./task cron, each in its own. "
        "Ctrl-C here stops what was started here."
    )


def stop_all(services: Sequence[Service]) -> None:
    for service in services:
        console.print(f"  stopping {service.name}")
    if services:
        with ThreadPoolExecutor(len(services)) as pool:
            list(pool.map(lambda service: service.stop(), services))


if __name__ == "__main__":
    sys.exit(main())
