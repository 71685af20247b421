"""What guards are given of this floor: an HTTP client for remote ones, and the gateway's own models for judges."""

from collections.abc import Callable
from pathlib import Path

from gateway.config.model import Settings
from gateway.config.source import Source
from gateway.exchange import Exchange, new_id
from gateway.guards import assemble, load
from gateway.guards.load import Policies
from gateway.guards.policy import Policy
from gateway.guards.ports import Ask, Caller, Pool, Ports
from gateway.providers.translation import translate
from gateway.routing import call
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Timeouts, Upstream
from gateway.types import CompletionRequest, HttpRequest

_JUDGE_TOKENS = 512


def documents(settings: Settings, source: Source) -> Policies:
    """The documents of the policies a configuration names.

    Raises:
        ConfigError: every fault of every document, each with its file and line.
    """
    names = settings.policies or ()
    folder = source.files[0].parent if source.files else Path()
    return load.load(names, folder=folder, source=source)


def policies(settings: Settings, source: Source, ports: Ports) -> tuple[tuple[Policy, ...], tuple[Path, ...]]:
    """The policies a configuration names, ready for the engine, and the files to watch for changes.

    Raises:
        ConfigError: as `documents` does, and guards that cannot be had here.
    """
    loaded = documents(settings, source)
    return tuple(assemble.assembled(policy, ports) for policy in loaded.policies), loaded.files


def ports(upstream: Upstream, catalogue: Catalogue, pool: Pool) -> Ports:
    """The ports of one configuration."""
    return Ports(call=_caller(upstream), ask=_asker(upstream, catalogue), pool=pool)


def decoder(catalogue: Catalogue) -> Callable[[str, tuple[int, ...]], str | None]:
    """Reads token ids of a model, by its alias, as its deployment's tokenizer does; None when that is not known.

    The function raises what `Catalogue.find` and a deployment's tokenizer raise for a model or an id nobody has.
    """

    def decode(model: str, ids: tuple[int, ...]) -> str | None:
        read = catalogue.find(model)[0].shape.decode
        return read(ids) if read is not None else None

    return decode


def _caller(upstream: Upstream) -> Caller:
    async def send(request: HttpRequest, seconds: float) -> tuple[int, bytes]:
        response = await upstream.send(request, Timeouts(seconds, seconds, seconds), stream=False)
        return response.status, await response.read()

    return send


def _asker(upstream: Upstream, catalogue: Catalogue) -> Ask:
    async def ask(model: str, prompt: str) -> str:
        bound = catalogue.find(model)[0]
        request = CompletionRequest(model, (prompt,), max_tokens=_JUDGE_TOKENS, temperature=0)
        own = Exchange(new_id("judge_"), "POST", "")
        deltas = call.deltas(translate(request, bound.shape), bound, upstream, own, 1)
        return "".join([delta.text async for delta in deltas])

    return ask
