"""What guards are given of this floor: an HTTP client for remote ones, and the gateway's own models for judges."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from gateway.config.model import Defaults, Settings
from gateway.config.source import Source
from gateway.exchange import Exchange, new_id
from gateway.guards import assemble, load
from gateway.guards.load import Policies
from gateway.guards.policy import Policy
from gateway.guards.ports import Ask, Note, Pool, Ports, unnoted
from gateway.guards.ports import Caller as Send
from gateway.ledger import tokens
from gateway.routing import settling
from gateway.routing.call import Caller
from gateway.routing.deployments import Catalogue
from gateway.routing.upstream import Timeouts, Upstream
from gateway.telemetry import conventions as names
from gateway.types import CompletionRequest, HttpRequest

DEFAULT = ("default",)
"""What is enforced where a configuration does not say: the pack of this name."""

_JUDGE_TOKENS = 512

_JUDGED = frozenset(Defaults.model_fields)
"""An operator's defaults are for clients: none of them is filled in for a judge."""


def named(settings: Settings) -> tuple[str, ...]:
    """The policies in force: those a configuration names, `DEFAULT` where it has no key `policies`, none where that is
    an empty list."""
    return DEFAULT if settings.policies is None else settings.policies


def documents(settings: Settings, source: Source) -> Policies:
    """The documents of the policies in force, see `named`.

    Raises:
        ConfigError: every fault of every document, each with its file and line.
    """
    folder = source.files[0].parent if source.files else Path()
    return load.load(named(settings), folder=folder, source=source)


def policies(settings: Settings, source: Source, ports: Ports) -> tuple[tuple[Policy, ...], tuple[Path, ...]]:
    """The policies in force, ready for the engine, and the files to watch for changes.

    Raises:
        ConfigError: as `documents` does, and guards that cannot be had here, those of all policies together.
    """
    loaded = documents(settings, source)
    return assemble.every(loaded.policies, ports), loaded.files


def ports(caller: Caller, pool: Pool, note: Note = unnoted) -> Ports:
    """The ports of one configuration; guards say through `note` what the log should know."""
    return Ports(call=_sender(caller.upstream), ask=_asker(caller, note), pool=pool, count=tokens.estimate, note=note)


def decoder(catalogue: Catalogue) -> Callable[[str, tuple[int, ...]], str | None]:
    """Reads token ids of a model, by its alias, as its deployment's tokenizer does; None when that is not known.

    The function raises what `Catalogue.find` and a deployment's tokenizer raise for a model or an id nobody has.
    """

    def decode(model: str, ids: tuple[int, ...]) -> str | None:
        read = catalogue.find(model)[0].shape.decode
        return read(ids) if read is not None else None

    return decode


def _sender(upstream: Upstream) -> Send:
    async def send(request: HttpRequest, seconds: float) -> tuple[int, bytes]:
        response = await upstream.send(request, Timeouts(seconds, seconds, seconds), stream=False)
        return response.status, await response.read()

    return send


def _asker(caller: Caller, note: Note) -> Ask:
    async def ask(model: str, prompt: str) -> str:
        request = CompletionRequest(model, (prompt,), max_tokens=_JUDGE_TOKENS, temperature=0, given=_JUDGED)
        own = Exchange(new_id("judge_"), "POST", "")
        try:
            async with aclosing(caller.begin(request, own).deltas()) as deltas:
                return "".join([delta.text async for delta in deltas])
        finally:
            note("judge_usage", {names.MODEL: model, **settling.spent(own)})

    return ask
