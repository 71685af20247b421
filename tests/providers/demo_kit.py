"""The demo as a real server on a free loopback port, for the tests that want bytes on a wire."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from gateway.providers.demo.app import app
from gateway.wire import asgi, json


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the demo until the block ends; yields its origin. The socket listens before anyone can connect."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", ws="none", lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def ask(path: str, body: object, **switches: object) -> tuple[int, dict[str, str], bytes]:
    """One call to the demo in process: status, headers and the bytes of the body."""

    async def call() -> tuple[int, dict[str, str], bytes]:
        headers = [
            (f"x-demo-{name}".replace("_", "-").encode(), str(value).encode()) for name, value in switches.items()
        ]
        sent = body if isinstance(body, bytes) else json.dumps(body)
        answer = await asgi.request(app, "POST", path, headers, sent)
        return answer.status, dict(answer.headers), await answer.read()

    return asyncio.run(call())
