"""How many viewers one API process serves, and how fast: `./task bench:sse`.

A crowd of raw SSE clients on one event loop, private services, the API as a process of its own;
beside it the obvious way: FastAPI, sse-starlette and a Redis pub/sub connection for each viewer.
"""
