"""The async client: submit, watch, wait.

    async with Client("http://127.0.0.1:8000") as client:
        task = await client.submit("quick", {"numbers": [1, 2, 3]})
        async for event in task.events():
            print(event.kind)
        print(await task.wait())

A module a resource: `submitting` and `task` are the heart; `users`, `dead_letters`, `bulk` and
`exports` hang on the client by these names; `transport` is HTTP, with `patience` (what is repeated)
and `problems` (errors) beside it.
"""

from stepline.client.client import Client
from stepline.client.listing import Listing
from stepline.client.submission import SubmitOptions
from stepline.client.task import Task

__all__ = ["Client", "Listing", "SubmitOptions", "Task"]
