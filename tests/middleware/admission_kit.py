"""A gateway with limits, as callers on other machines see it, and a clock that the test turns."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.assembly.admitting import Admitting
from gateway.config.load import from_mapping
from tests.inprocess import InProcess, Reply

MASTER = "master-key-of-the-tests"
ELSEWHERE = {"gateway.local": False, "client": ("192.0.2.1", 1)}
PRICES = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
MIDNIGHT = 1_800_057_600.0
"""The beginning of a day, UTC: 2027-01-16."""


class Clock:
    """Seconds since 1970."""

    def __init__(self, now: float = MIDNIGHT) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def model(name: str, demo: str = "demo/demo", **params: Any) -> dict[str, Any]:
    """A model whose tokens are counted exactly, at `PRICES`."""
    return {"model_name": name, "litellm_params": {"model": demo, "tokenizer": "cl100k_base", **PRICES, **params}}


MODELS = (
    model("demo"),
    model("other"),
    model("many/*"),
    model("free", input_cost_per_token=0, output_cost_per_token=0),
    model("broken", demo_fault="status_500"),
    model("cut", demo_fault="cut_stream", demo_fault_at=2),
    model("stall", demo_fault="stall", demo_fault_at=2, timeout=0.2, stream_timeout=0.2),
)


class Bounded:
    """The gateway. A completion reads 9 tokens and writes 2, unless it asks for something else, and reserves 12."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.clock = Clock()
        self.config = {
            "model_list": list(MODELS),
            "policies": [],
            "ledger": {"enabled": False},
            "router_settings": {"num_retries": 0},
            **config,
            "general_settings": {
                "master_key": MASTER,
                "database_url": f"sqlite:///{folder}/gateway.db",
                **config.get("general_settings", {}),
            },
        }
        self.inner = InProcess(self.config)
        self.gateway = gateway = self.inner.gateway
        found = from_mapping(self.config)
        gateway.admitting = Admitting(
            found.settings, gateway.upstream, gateway.observing.metrics, gateway.log, clock=self.clock
        )
        gateway.use(found.settings, found.source)

    def use(self, **config: Any) -> None:
        """Serve a changed configuration."""
        found = from_mapping({**self.config, **config})
        self.gateway.use(found.settings, found.source)

    def ask(self, key: str | None, path: str, body: Any = b"", method: str = "POST", **headers: str) -> Reply:
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        if key is not None:
            sent.append((b"authorization", f"Bearer {key}".encode()))
        return self.inner.ask(body, path, sent, method=method, scope=ELSEWHERE)

    def admin(self, path: str, body: Any = b"", method: str = "POST") -> Any:
        reply = self.ask(MASTER, path, body, method)
        assert reply.status < 300, reply.body
        return reply.json

    def key(self, alias: str, **fields: Any) -> tuple[str, str]:
        """The id of a new key, and the key."""
        made = self.admin("/admin/keys", {"alias": alias, **fields})
        return made["id"], made["key"]

    def spent(self) -> int:
        """What the one budget there is has of spent, once all that was asked is over."""

        async def over() -> None:
            for _ in range(10_000):
                if "open=0" in repr(self.gateway.admitting):
                    return
                await asyncio.sleep(0)
            raise AssertionError(repr(self.gateway.admitting))

        self.inner.run(over())
        (standing,) = self.gateway.admitting._allowances.budgets()
        return standing.rule.most - standing.left

    def complete(self, key: str = MASTER, model: str = "demo", **fields: Any) -> Reply:
        return self.ask(key, "/v1/completions", {"model": model, "prompt": "Say hello", "max_tokens": 3, **fields})


@contextmanager
def bounded(folder: Path, **config: Any) -> Iterator[Bounded]:
    """A gateway of this configuration, closed at the end."""
    made = Bounded(folder, config)
    try:
        yield made
    finally:
        made.inner.close()
