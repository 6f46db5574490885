"""Runs a peer's file, which has a `DRIVER` (its class), `WORKERS` (a program of its environment and
that program's arguments, by set-up) and, where one worker is one process, `PROCESSES` (how many, by
set-up).

    python run.py MODULE worker SETUP     becomes the peer's worker: throughput | io | single
    python run.py MODULE driver           answers commands until its input ends
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path

from driving import serve

if __name__ == "__main__":
    peer = importlib.import_module(sys.argv[1])
    if sys.argv[2] == "worker":
        program, *arguments = peer.WORKERS[sys.argv[3]]
        for _ in range(getattr(peer, "PROCESSES", {}).get(sys.argv[3], 1) - 1):
            if os.fork() == 0:
                break
        path = Path(sys.executable).parent / program
        os.execv(path, [str(path), *arguments])
    try:
        from uvloop import run
    except ImportError:
        run = asyncio.run
    run(serve(peer.DRIVER()))
