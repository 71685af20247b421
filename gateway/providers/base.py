"""What every provider's language has in common: the ports, the target it is bound to, and the table of parameters.

A translator is sans-IO: values in, one HTTP request out; bytes in, values out. It keeps no state between calls, so a
retry calls it again on the original `Call`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from gateway.config.secret import Secret
from gateway.errors import (
    UpstreamError,
)
from gateway.types import Call, Delta, FinishReason, HttpRequest

JSON_HEADERS: Mapping[str, str] = {"content-type": "application/json"}


class Level(StrEnum):
    """What becomes of a parameter at a provider; the words of the README's table."""

    NATIVE = "native"
    """Sent under OpenAI's own name."""
    MAPPED = "mapped"
    """Sent under the provider's name or in its form."""
    EMULATED = "emulated"
    """Done by the gateway."""
    REFUSED = "refused"
    """A 400 that names the parameter, or dropped and named when `drop_params` is set."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a provider does with each parameter of a text completion.

    `ranges` holds the provider's documented range where it is narrower than OpenAI's: values are clamped to it.
    `max_n`, `max_stop` and `max_top_logprobs` are the provider's bounds, and `blank_stop` is
    False where a stop sequence of white space only is refused. `text` is True for a native text-completion
    language: it takes `prompt` as it is, with `echo` (when logprobs are asked for too), `best_of` and `suffix` as its
    levels say.
    `token_prompts` is True where the provider takes token ids. `extra` is True where it takes parameters OpenAI's API
    does not define (`top_k`, `min_p`, `guided_json`, …).
    """

    levels: Mapping[str, Level]
    text: bool = False
    token_prompts: bool = False
    extra: bool = False
    max_n: int = 128
    max_stop: int = 4
    blank_stop: bool = True
    max_top_logprobs: int = 20
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def level(self, parameter: str) -> Level:
        """The level of `parameter`; a parameter the table does not name is refused."""
        return self.levels.get(parameter, Level.REFUSED)

    def but(self, **changes: Any) -> "Support":
        """This table with some levels changed: `SUPPORT.but(logprobs=Level.REFUSED)`."""
        fields = {name: changes.pop(name) for name in list(changes) if name in self.__slots__}
        values = {name: fields.get(name, getattr(self, name)) for name in self.__slots__}
        values["levels"] = {**values["levels"], **changes}
        return Support(**values)


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment as a translator sees it: whom to call, as whom, and under which name.

    `model` is the provider's own name, without the provider's prefix. `base_url` is the operator's `api_base` without
    its trailing slash, or None for the provider's own. `options` holds the provider's own settings
    (`api_version`, `aws_region_name`, `vertex_project`, …).
    """

    provider: str
    model: str
    base_url: str | None = None
    api_key: Secret | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


class StreamDecoder(Protocol):
    """Turns the bytes of one streamed answer, in any cut, into deltas."""

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas that `data` completes.

        Raises:
            UpstreamError: the provider reported an error, or sent what is not its language.
        """
        ...

    def close(self) -> list[Delta]:
        """The deltas left at the end of the body.

        Raises:
            UpstreamError: the stream ended before the answer did.
        """
        ...


class Translator(Protocol):
    """A provider's language, bound to one deployment."""

    def request(self, call: Call) -> HttpRequest:
        """The HTTP request that asks for `call`.

        Raises:
            RequestError: a value this provider cannot be asked for; `param` names it.
        """
        ...

    def answer(self, call: Call, body: bytes) -> list[Delta]:
        """The deltas of a whole (not streamed) 2xx answer.

        Raises:
            UpstreamError: the body is not the provider's language.
        """
        ...

    def stream(self, call: Call) -> StreamDecoder:
        """A fresh decoder for one streamed 2xx answer to `call`."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error a non-2xx answer means. `headers` have lower-case names."""
        ...


Authorizer = Callable[[HttpRequest], Awaitable[HttpRequest]]
"""Adds credentials that need I/O or the finished body (cloud tokens, request signatures)."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of the registry: a name, its language, and what differs in data.

    `key_env` names the environment variables that hold a key, the first that is set wins; `base_env` likewise for the
    base URL. `keyless` providers need no key. `bind` makes the translator, `authorizer` (where a key in a header is
    not enough) what signs its requests.
    """

    name: str
    bind: Callable[[Target], Translator]
    support: Support
    key_env: tuple[str, ...] = ()
    base_env: tuple[str, ...] = ()
    keyless: bool = False
    needs_base: bool = False
    authorizer: Callable[[Target], Authorizer] | None = None
    options: tuple[str, ...] = ()
    """Names of the settings it reads from `Target.options`; any other is a configuration error."""
    elsewhere: Support | None = None
    """What another server at the operator's `api_base` does, where that is less than the provider itself."""
    credentials: tuple[str, ...] = ()
    """Names of settings that stand in for a key."""
    option_env: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Environment variables that stand in for settings left out, as the vendor's own tools read them."""


def finish(reasons: Mapping[str, FinishReason], reason: str | None) -> FinishReason:
    """A provider's finish reason as one of the three of a text completion; an unknown one is `stop`."""
    return reasons.get(reason or "", "stop")
