"""Answers that are used again: those that were kept, and those of an equal request at the same time.

Both stand where an answer is what its provider said, before the policies of the answer: these judge each client's own
answer, so that a policy that has changed since holds for what was kept before. What policies changed or blocked is not
kept, so that nothing they take out is at rest anywhere.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from gateway.config import protection
from gateway.config.model import Settings
from gateway.errors import Unavailable
from gateway.exchange import Exchange
from gateway.routing.deployments import Bound
from gateway.routing.reuse import answers, keys
from gateway.routing.reuse.answers import Kept, Recorder
from gateway.routing.reuse.flights import Flights, Make, Parted
from gateway.routing.reuse.stores import Memory, Store
from gateway.types import CompletionRequest, Delta
from gateway.wire.completions import with_defaults

_BEHIND = (
    "id", "provider", "model", "api_base", "translation", "continuation_prompt", "suffix", "tokenizer", "defaults",
    "drop_params",
)  # fmt: skip
"""What an alias' answers hang on of each of its deployments."""

_CHANGES = frozenset({"block", "hash", "mask", "redact"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What is used again of an alias' answers. `ttl` is in seconds, None where none are kept; `served_by` is another
    text when another configuration stands behind the alias."""

    ttl: float | None
    coalesce: bool
    served_by: str


class Reuse:
    """What one process uses again. It outlives configurations.

    Args:
        store: where answers are kept; None for this process's memory.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._memory = Memory(0)
        self._store = store
        self._flights = Flights()
        self._rules: dict[str, Rule] = {}
        self.hits = self.misses = self.shared = 0

    def __repr__(self) -> str:
        return f"<Reuse {self.told()}>"

    def told(self) -> str:
        """What has been used again, in one line."""
        kept = "answers in Redis" if self._store is not None else self._memory.told()
        return f"{self.hits} hits, {self.misses} misses, {self.shared} coalesced, {kept}"

    @property
    def wanted(self) -> bool:
        """Whether any alias uses answers again."""
        return bool(self._rules)

    def use(self, settings: Settings) -> None:
        """Other rules from now on."""
        self._rules = rules(settings)
        self._memory.bound(settings.protection.cache_bytes)

    def asked(
        self, request: CompletionRequest, bound: Bound, exchange: Exchange, control: str | None
    ) -> "Asked | None":
        """What is to be done for one request; None where its model uses nothing again, or not for requests like it: an
        echo is written after the policies of the answer.

        Args:
            request: guarded, without the operator's defaults.
            bound: the first deployment of its alias.
            control: its `cache-control` header.

        Raises:
            InvalidValue: a default contradicts what the client gave.
        """
        rule = self._rules.get(bound.alias)
        if rule is None or request.echo:
            return None
        key = keys.key(request, exchange, rule.served_by)
        if key is None:
            return None
        fresh, unkept = keys.forbidden(control)
        filled = with_defaults(request, bound.defaults)
        coalesce = rule.coalesce and not fresh and keys.deterministic(filled)
        if rule.ttl is not None and fresh:
            exchange.reused = "bypass"
        look = rule.ttl is not None and not fresh
        return Asked(self, (request, filled), exchange, key, look, None if unkept else rule.ttl, coalesce)

    async def found(self, key: str) -> Kept | None:
        """A kept answer.

        Raises:
            Unavailable: the store cannot be asked.
        """
        data = await (self._store or self._memory).get(key)
        if data is None:
            return None
        try:
            return answers.decode(data)
        except ValueError:
            return None  # another program's, or a torn one: it is replaced by the next answer

    async def keep(self, key: str, kept: Kept, seconds: float) -> bool:
        """Keep an answer; whether that could be done."""
        try:
            await (self._store or self._memory).set(key, answers.encode(kept), seconds)
        except (Unavailable, TypeError):  # the store says so in the log; a text that is not Unicode is kept nowhere
            return False
        return True

    @property
    def flights(self) -> Flights:
        """The calls under way that may be listened to."""
        return self._flights


class Asked:
    """One request to a model that uses answers again: read `deltas`, and call `keep` once all have been written.

    `request` has the operator's defaults, those of the first deployment of its alias. `pinned` is what to call with:
    without them, but with as many choices, whoever is called.
    """

    __slots__ = (
        "_before",
        "_coalesce",
        "_exchange",
        "_key",
        "_look",
        "_recorder",
        "_reuse",
        "_ttl",
        "pinned",
        "request",
    )

    def __init__(
        self,
        reuse: Reuse,
        requests: tuple[CompletionRequest, CompletionRequest],
        exchange: Exchange,
        key: str,
        look: bool,
        ttl: float | None,
        coalesce: bool,
    ) -> None:
        self._reuse = reuse
        given, self.request = requests
        same = given.n == self.request.n
        self.pinned = given if same else replace(given, n=self.request.n, given=given.given | {"n"})
        self._exchange = exchange
        self._key = key
        self._look = look
        self._ttl = ttl
        self._coalesce = coalesce
        self._before = exchange.confidential
        self._recorder: Recorder | None = None

    async def deltas(self, make: Make) -> AsyncGenerator[Delta, None]:
        """The answer: a kept one, another request's, or that of the call that `make` begins.

        Raises:
            GatewayError: what the call failed with.
        """
        kept = await self._kept()
        if kept is not None:
            kept.serve(self._exchange)
            for choice in kept.choices:
                yield choice
            return
        if not self._coalesce:
            async with aclosing(self._own(make())) as own:
                async for delta in own:
                    yield delta
            return
        flights, again, reused = self._reuse.flights, False, self._exchange.reused
        # A request in a stream and one that is not wait differently for their provider: they do not share.
        key = f"{self._key}:{self.request.stream}"
        while (flight := flights.find(key)) is not None:
            self._exchange.reused = "coalesced"
            try:
                async with aclosing(flights.follow(flight, self._exchange, last=again)) as deltas:
                    async for delta in deltas:
                        yield delta
                self._reuse.shared += 1
                return
            except Parted:
                again = True
        self._exchange.reused = reused
        async with aclosing(self._own(flights.lead(key, make, self._exchange))) as own:
            async for delta in own:
                yield delta

    async def keep(self) -> None:
        """The whole answer has been written without a fault: keep it, where it may be kept. It raises nothing."""
        recorder, exchange = self._recorder, self._exchange
        if recorder is None or self._ttl is None or not _may_be_kept(exchange):
            return
        choices = recorder.choices(self._count)
        provider, deployment, model = exchange.provider, exchange.deployment, exchange.served_model
        if choices is None or provider is None or deployment is None or model is None or exchange.usage is None:
            return
        told = tuple(text for text in exchange.confidential if text not in self._before)
        kept = Kept(provider, deployment, model, exchange.usage, choices, exchange.opening, exchange.dropped, told)
        await self._reuse.keep(self._key, kept, self._ttl)

    @property
    def _count(self) -> int:
        return len(self.request.prompts) * self.request.n

    async def _kept(self) -> Kept | None:
        if not self._look:
            return None
        try:
            kept = await self._reuse.found(self._key)
        except Unavailable:  # who asks says so in the log; the request goes on without
            self._exchange.reused, self._ttl = "bypass", None
            return None
        if kept is None or len(kept.choices) != self._count:
            self._exchange.reused = "miss"
            self._reuse.misses += 1
            return None
        self._exchange.reused = "hit"
        self._reuse.hits += 1
        return kept

    async def _own(self, calls: AsyncGenerator[Delta, None]) -> AsyncGenerator[Delta, None]:
        """This request's own call, noted on its way."""
        if self._ttl is not None:
            self._recorder = Recorder()
        async with aclosing(calls):
            async for delta in calls:
                if self._recorder is not None:
                    self._recorder.add(delta)
                yield delta


def _may_be_kept(exchange: Exchange) -> bool:
    """Whether an answer is the alias' own and whole, and no policy has taken anything out of it.

    Fallbacks are answers of another alias, which are not to outlast the outage they were for.
    """
    if exchange.error is not None or exchange.resumed or any(call.why == "fallback" for call in exchange.calls):
        return False
    for one in exchange.judgements():
        if one.status in ("error", "timeout"):
            return False
        if one.enforced and one.decision in _CHANGES and (one.stage == "output" or one.decision == "block"):
            return False
    return True


def rules(settings: Settings) -> dict[str, Rule]:
    """What is used again, by alias; aliases that use nothing again are not in it."""
    behind: dict[str, list[str]] = {}
    for one in settings.deployments:
        behind.setdefault(one.alias, []).append(repr([getattr(one, name) for name in _BEHIND]))
    found: dict[str, Rule] = {}
    for one in settings.deployments:
        ttl = protection.ttl(one.cache)
        if ttl is not None or one.coalesce:
            served_by = hashlib.sha256("\n".join([*behind[one.alias], str(settings.drop_params)]).encode()).hexdigest()
            found[one.alias] = Rule(ttl, one.coalesce, served_by)
    return found
