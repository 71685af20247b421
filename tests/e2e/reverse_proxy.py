"""Somebody else's app: a reverse proxy that streams, in front of a model server, with guardrails added to it.

`MODEL_URL` is where the model is, `POLICIES` a comma list; `GET /seen` tells what was sent on.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway import GuardrailMiddleware

seen: list[str] = []
_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}


@asynccontextmanager
async def _client(app: Starlette) -> AsyncIterator[None]:
    base = os.environ["MODEL_URL"].removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as client:
        app.state.client = client
        yield


async def forward(request: Request) -> Response:
    body = await request.body()
    seen.append(body.decode())
    headers = {"content-type": "application/json"}
    sent = request.app.state.client.build_request("POST", request.url.path, content=body, headers=headers)
    answer = await request.app.state.client.send(sent, stream=True)
    kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
    return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))


async def told(_: Request) -> Response:
    return JSONResponse(seen)


app = Starlette(
    lifespan=_client,
    routes=[
        Route("/v1/completions", forward, methods=["POST"]),
        Route("/v1/chat/completions", forward, methods=["POST"]),
        Route("/seen", told),
    ],
)
app.add_middleware(GuardrailMiddleware, policies=os.environ["POLICIES"].split(","))
