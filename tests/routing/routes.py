"""Routers with a clock that is set by hand and chance that is seeded, and the errors that providers give."""

import random
from collections.abc import Mapping
from typing import Any

from gateway.config.load import from_mapping
from gateway.errors import GatewayError, UpstreamConnectionError, UpstreamError, UpstreamTimeout
from gateway.providers.failures import error_from
from gateway.routing.board import Book
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.health import Breaker
from gateway.routing.plan import Route, Step
from gateway.routing.router import Router
from gateway.types import CompletionRequest


class Clock:
    """Seconds that only the test moves."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def entry(alias: str, name: str, model: str = "openai/x", info: Mapping[str, Any] | None = None, **params: Any) -> Any:
    said = {"model": model, "api_key": "sk-12345678", **params}
    return {"model_name": alias, "litellm_params": said, "model_info": {"id": name, **(info or {})}}


class World:
    """A router over some deployments, with its book, clock and chance; `told` is what was told of deployments."""

    def __init__(
        self, *entries: Any, seed: int = 1, book: Book | None = None, clock: Clock | None = None, **router: Any
    ) -> None:
        found = from_mapping({"model_list": list(entries), "policies": [], "router_settings": router})
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.clock = clock or Clock()
        self.book = book or Book(lambda event, attributes: self.told.append((event, attributes)))
        self.catalogue = Catalogue(found.settings, found.source)
        self.router = Router(
            self.catalogue,
            found.settings,
            self.book,
            clock=self.clock,
            rng=random.Random(seed),  # noqa: S311
        )

    def breaker(self, name: str) -> Breaker:
        return self.book.loads[name].breaker

    def route(
        self, model: str = "m", prompt: Any = "p", tags: tuple[str, ...] = (), until: float | None = None
    ) -> Route:
        return self.router.route(CompletionRequest(model, (prompt,)), tags, until=until)

    def picks(self, model: str = "m", **how: Any) -> str:
        return self.route(model, **how).first().bound.id

    def call(self, bound: Bound, error: GatewayError | None = None, took: float = 0.0, tokens: int | None = 10) -> None:
        """A whole call, of which the time to its first byte, or to its failure, is `took` seconds."""
        ticket = self.router.begin(bound)
        self.clock.now += took
        first = None if error is not None else took
        self.router.end(
            ticket, error=error, first_byte=first, tokens=tokens if error is None else None, cancelled=False
        )

    def walk(self, faults: Mapping[str, GatewayError], model: str = "m", **how: Any) -> tuple[list[Step], bool]:
        """All steps of one walk where the deployments in `faults` fail; and whether the last one was served."""
        route = self.route(model, **how)
        step: Step | None = route.first()
        steps: list[Step] = []
        while step is not None:
            steps.append(step)
            self.clock.now += step.wait
            error = faults.get(step.bound.id)
            self.call(step.bound, error)
            if error is None:
                return steps, True
            step = route.after(step, error)
        return steps, False

    def trip(self, *names: str, error: GatewayError | None = None) -> None:
        """Let calls to these deployments fail until their breakers open."""
        bounds = {e.bound.id: e.bound for group in self.router.board.groups.values() for e in group.entries}
        for name in names:
            while self.breaker(name).health == "closed":
                self.call(bounds[name], error or http(500))


def http(status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> UpstreamError:
    """What becomes of a provider's answer with this status."""
    return error_from("openai", status, headers or {}, message)


def refused() -> UpstreamConnectionError:
    return UpstreamConnectionError("could not be reached")


def silent() -> UpstreamTimeout:
    return UpstreamTimeout("did not answer")


def told(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.why, step.bound.id) for step in steps]
