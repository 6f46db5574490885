"""`python front.py MODULE PORT`: a peer behind HTTP, as its users would have it; `bare` for an
endpoint that answers without submitting anything.

One FastAPI process on uvicorn with uvloop and httptools, no access log: what Stepline's API is too.
"""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from driving import Driver
from fastapi import FastAPI
from pydantic import BaseModel


class Numbers(BaseModel):
    numbers: list[int]


class Accepted(BaseModel):
    task_id: str
    status: str = "PENDING"


def bare_app() -> FastAPI:
    app = FastAPI()

    @app.post("/tasks/quick", status_code=202)
    async def submit(body: Numbers) -> Accepted:
        return Accepted(task_id=str(uuid.uuid4()))

    return app


def peer_app(driver: Driver) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await driver.open()
        yield
        await driver.close()

    app = FastAPI(lifespan=lifespan)

    if driver.blocking:

        @app.post("/tasks/quick", status_code=202)
        def submit_blocking(body: Numbers) -> Accepted:
            return Accepted(task_id=driver.submit_one_blocking())
    else:

        @app.post("/tasks/quick", status_code=202)
        async def submit(body: Numbers) -> Accepted:
            return Accepted(task_id=await driver.submit_one())

    return app


if __name__ == "__main__":
    name, port = sys.argv[1:]
    app = bare_app() if name == "bare" else peer_app(importlib.import_module(name).DRIVER())
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_level="warning")
