"""The deployments a configuration names, bound to their providers' languages, and the aliases clients call them by."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from gateway.config import environment
from gateway.config.model import PRICES, Deployment, Settings
from gateway.config.secret import Secret
from gateway.config.source import Source, closest
from gateway.errors import ConfigError, ModelNotFound
from gateway.ledger import prices, tokens
from gateway.ledger.cost import Price
from gateway.providers.base import Authorizer, Provider, Target, Translator
from gateway.providers.openai_chat.language import BASE_URL
from gateway.providers.parameters import Shape
from gateway.providers.registry import PROVIDERS
from gateway.providers.translation import CONTINUATION_PROMPT
from gateway.routing.terms import Terms, terms
from gateway.routing.upstream import Timeouts

_CONNECT_SECONDS = 5.0
_PARAMS = "litellm_params"

_STREAM_SECONDS = 600.0
"""Longest life of a stream; within it only silence ends one."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One deployment, ready to be called.

    `defaults` are the operator's values for parameters a client leaves out; `whole` and `stream` are its time limits
    for the two kinds of answer. `price` is None where nobody says what a call costs, `encoding` where the model's
    vocabulary is not known. `terms` are those on which it is called. `resume` says whether a stream that breaks here
    is continued, `hedge_after` after how many seconds without a first byte another one is called too, None for never.
    """

    id: str
    alias: str
    provider: str
    model: str
    translator: Translator
    authorize: Authorizer | None
    shape: Shape
    defaults: Mapping[str, Any]
    whole: Timeouts
    stream: Timeouts
    price: Price | None
    encoding: str | None
    terms: Terms
    resume: bool = False
    hedge_after: float | None = None

    def __repr__(self) -> str:
        return f"<Bound {self.id} {self.alias} -> {self.provider}/{self.model}>"


class Catalogue:
    """The aliases of one configuration. Equal names form a group, in the order of the configuration.

    An alias with a `*` is a wildcard: the longest one that fits serves a name that no plain alias has, and the text
    the star stands for takes the place of the star in the deployment's model.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        """Bind every deployment of `settings`.

        Raises:
            ConfigError: every fault at once (unknown providers and options, missing keys), with its place in `source`.
        """
        faults: list[str] = []
        self._groups: dict[str, list[Bound]] = {}
        self._wildcards: dict[str, list[tuple[Deployment, Settings]]] = {}
        over = settings.environment_variables
        for deployment in settings.deployments:
            found = [source.fault((*deployment.path, *at), said) for at, said in _faults(deployment, over)]
            faults += found
            if found:
                continue
            if "*" in deployment.alias:
                self._wildcards.setdefault(deployment.alias, []).append((deployment, settings))
                continue
            try:
                self._groups.setdefault(deployment.alias, []).append(bind(deployment, settings))
            except ConfigError as error:
                faults += [source.fault((*deployment.path, _PARAMS), said) for said in error.faults]
        if faults:
            raise ConfigError(faults)
        if self._wildcards:
            prices.preload()
        for alias, group in settings.router.model_group_alias.items():
            if group in self._groups:
                self._groups[alias] = self._groups[group]
        self._patterns = sorted(self._wildcards, key=lambda pattern: len(pattern.replace("*", "")), reverse=True)
        self._expand = lru_cache(maxsize=1024)(self._expanded)

    def __repr__(self) -> str:
        return f"<Catalogue {len(self._groups)} aliases, {len(self._patterns)} wildcards>"

    def encodings(self) -> set[str]:
        """The vocabularies that token-id prompts and missing token counts will be read with."""
        bounds = [bound for group in self._groups.values() for bound in group]
        return {bound.encoding or tokens.DEFAULT for bound in bounds}

    def names(self) -> list[str]:
        """Every alias, wildcards too, in the order of the configuration."""
        return [*self._groups, *self._wildcards]

    def find(self, model: str) -> tuple[Bound, ...]:
        """The deployments of the alias that `model` names, at least one.

        Raises:
            ModelNotFound: no alias and no wildcard fits; the message names the closest alias.
        """
        group = self._groups.get(model)
        if group is not None:
            return tuple(group)
        found = self._expand(model)
        if not found:
            near = difflib.get_close_matches(model, self.names(), n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else " GET /v1/models lists what there is."
            raise ModelNotFound(f"There is no model {model[:120]} here.{hint}", param="model")
        return found

    def _expanded(self, model: str) -> tuple[Bound, ...]:
        for pattern in self._patterns:
            star = _match(pattern, model)
            if star:
                starred = self._wildcards[pattern]
                return tuple(bind(_filled(deployment, star), settings) for deployment, settings in starred)
        return ()


def _match(pattern: str, name: str) -> str | None:
    """The text that the star of `pattern` stands for in `name`, or None."""
    before, _, after = pattern.partition("*")
    if len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after):
        return name[len(before) : len(name) - len(after)]
    return None


def _filled(deployment: Deployment, star: str) -> Deployment:
    """A wildcard deployment for one name. The model `*` alone takes its provider from the name, as in LiteLLM."""
    if deployment.provider == ANY_PROVIDER:
        provider, _, model = star.partition("/")
        named = (provider, model) if model and provider in PROVIDERS else ("openai", star)
        return deployment.model_copy(update={"provider": named[0], "model": named[1]})
    return deployment.model_copy(update={"model": deployment.model.replace("*", star)})


ANY_PROVIDER = "*"
"""The provider of a deployment whose model is `*` alone."""


def _faults(deployment: Deployment, over: Mapping[str, str]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with a deployment that only its provider knows: (path below the entry, message)."""
    if deployment.provider == ANY_PROVIDER:
        return []  # known once a request names it
    provider = PROVIDERS.get(deployment.provider)
    if provider is None:
        hint = closest(deployment.provider, PROVIDERS) or f"; known are {', '.join(sorted(PROVIDERS))}"
        return [((_PARAMS, "model"), f"unknown provider {deployment.provider!r}{hint}")]
    found: list[tuple[tuple[str, ...], str]] = []
    if "*" in deployment.model and "*" not in deployment.alias:
        found.append(((_PARAMS, "model"), "a star in the model needs one in model_name, whose text it stands for"))
    if provider.needs_base and not _base(deployment, provider, over):
        wanted = " or ".join(("api_base", *provider.base_env))
        found.append(((_PARAMS, "api_base"), f"{provider.name} needs the server's address: set {wanted}"))
    keyed = provider.keyless or provider.authorizer or set(provider.credentials) & deployment.options.keys()
    if not (keyed or deployment.api_base or _key(deployment, provider, over)):
        wanted = " or ".join(("api_key", *provider.key_env))
        found.append(((_PARAMS, "api_key"), f"{provider.name} needs a key: set {wanted}"))
    found += [
        ((_PARAMS, name), f"{provider.name} has no setting {name}")
        for name in deployment.options
        if name not in provider.options
    ]
    if _is_half_priced(deployment, provider, over):
        said = (
            "says what only a part of a call costs, and the price catalogue does not know the model: set both this and "
            "the other of input_cost_per_token and output_cost_per_token, 0 for what costs nothing"
        )
        found += [((_PARAMS, name), said) for name in PRICES if getattr(deployment, name) is not None][:1]
    if deployment.tokenizer and tokens.encoding_for(deployment.model, deployment.tokenizer) is None:
        found.append(((_PARAMS, "tokenizer"), "unknown tokenizer; known are cl100k_base and o200k_base"))
    return found


def _is_half_priced(deployment: Deployment, provider: Provider, over: Mapping[str, str]) -> bool:
    """Whether prices are given that make none. What a wildcard's models are called is not known yet."""
    given = any(getattr(deployment, name) is not None for name in PRICES)
    return given and "*" not in deployment.model and _price(deployment, _base(deployment, provider, over)) is None


def _key(deployment: Deployment, provider: Provider, over: Mapping[str, str]) -> Secret | None:
    if deployment.api_key is not None:
        return deployment.api_key
    value = next((value for name in provider.key_env if (value := environment.get(name, over))), None)
    return Secret(value) if value else None


def _base(deployment: Deployment, provider: Provider, over: Mapping[str, str]) -> str | None:
    if deployment.api_base:
        return deployment.api_base
    return next((value.rstrip("/") for name in provider.base_env if (value := environment.get(name, over))), None)


def bind(deployment: Deployment, settings: Settings) -> Bound:
    """A deployment of a known provider, with its translator, its shape and its time limits."""
    provider = PROVIDERS[deployment.provider]
    over = settings.environment_variables
    target = Target(
        provider=provider.name,
        model=deployment.model,
        base_url=_base(deployment, provider, over),
        api_key=_key(deployment, provider, over),
        extra_headers=dict(deployment.extra_headers),
        options=_options(deployment, provider, over),
    )
    router = settings.router
    hedge = deployment.hedge_after_ms or router.hedge_after_ms
    whole = deployment.timeout or settings.router.timeout
    silence = deployment.stream_timeout or settings.router.stream_timeout or whole
    return Bound(
        id=deployment.id,
        alias=deployment.alias,
        provider=provider.name,
        model=deployment.model,
        translator=provider.bind(target),
        authorize=provider.authorizer(target) if provider.authorizer else None,
        shape=_shape(deployment, provider, settings, target.base_url),
        defaults=deployment.defaults.model_dump(exclude_none=True),
        whole=Timeouts(min(_CONNECT_SECONDS, whole), whole, whole),
        stream=Timeouts(min(_CONNECT_SECONDS, silence), silence, max(_STREAM_SECONDS, silence)),
        price=_price(deployment, target.base_url),
        encoding=tokens.encoding_for(deployment.base_model or deployment.model, deployment.tokenizer),
        terms=terms(deployment, target),
        resume=router.resume_streams if deployment.resume_streams is None else deployment.resume_streams,
        hedge_after=None if hedge is None else hedge / 1000,
    )


def _price(deployment: Deployment, base_url: str | None) -> Price | None:
    settings = {name: value for name in PRICES if (value := getattr(deployment, name)) is not None}
    return prices.resolve(
        deployment.provider,
        deployment.model,
        base_model=deployment.base_model,
        api_base=base_url,
        settings=settings,
    )


def _options(deployment: Deployment, provider: Provider, over: Mapping[str, str]) -> Mapping[str, Any]:
    """The provider's own settings, from the entry or from the variables the vendor's tools read."""
    found = dict(deployment.options)
    for name, variables in provider.option_env.items():
        if name not in found:
            value = next((value for variable in variables if (value := environment.get(variable, over))), None)
            if value:
                found[name] = value
    return found


def _shape(deployment: Deployment, provider: Provider, settings: Settings, base_url: str | None) -> Shape:
    drop = deployment.drop_params
    continuation = deployment.continuation_prompt or CONTINUATION_PROMPT
    return Shape(
        provider=provider.name,
        support=provider.elsewhere if provider.elsewhere and base_url not in (None, BASE_URL) else provider.support,
        decode=decoder(deployment.base_model or deployment.model, deployment.tokenizer),
        allow_extra=deployment.extra_params == "allow",
        drop_params=settings.drop_params if drop is None else drop,
        continuation=continuation if deployment.translation == "continuation" else None,
        emulate_suffix=deployment.suffix == "emulate",
    )


def decoder(model: str, setting: str | None) -> Callable[[tuple[int, ...]], str] | None:
    """What turns token ids of `model` into text, or None when its tokenizer is not known."""
    encoding = tokens.encoding_for(model, setting)
    if encoding is None:
        return None
    return lambda ids: tokens.decode(list(ids), encoding)


def within(timeouts: Timeouts, seconds: float | None) -> Timeouts:
    """`timeouts`, none of them longer than `seconds` (what the client is willing to wait)."""
    if seconds is None or seconds >= timeouts.total:
        return timeouts
    return replace(timeouts, connect=min(timeouts.connect, seconds), read=min(timeouts.read, seconds), total=seconds)
