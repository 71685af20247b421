"""A provider that differs from OpenAI in data only, as one row of `compatible.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from gateway.providers.base import Level, Provider, Support, Target, Translator
from gateway.providers.openai_chat.language import OpenAIChat
from gateway.providers.openai_chat.request import Dialect
from gateway.providers.openai_text.language import OpenAIText

PENALTIES = ("presence_penalty", "frequency_penalty")

EVERYTHING = ("n", *PENALTIES, "seed", "logit_bias", "user")
"""The parameters that some providers take and others do not, apart from logprobs and stop."""

_EVERYWHERE = ("max_tokens", "temperature", "top_p", "stream")


def takes(
    *parameters: str,
    logprobs: int | None = None,
    stop: int = 4,
    extra: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Support:
    """What the chat endpoint of a provider takes, as its documentation lists it.

    Every provider takes `max_tokens`, `temperature`, `top_p` and `stream`; `parameters` names the others. `logprobs` is
    the largest number of alternatives per token (0: the chosen tokens' logprobs only), None where there are none;
    `stop` the number of stop sequences, 0 where there are none. Without `n` the gateway makes n calls; `best_of` needs
    the logprobs.
    """
    unknown = set(parameters) - set(EVERYTHING)
    if unknown:
        raise ValueError(f"not a parameter that differs between providers: {', '.join(sorted(unknown))}")
    levels = dict.fromkeys(EVERYTHING, Level.REFUSED) | dict.fromkeys((*_EVERYWHERE, *parameters), Level.NATIVE)
    levels |= {
        "n": Level.NATIVE if "n" in parameters else Level.EMULATED,
        "best_of": Level.REFUSED if logprobs is None else Level.EMULATED,
        "echo": Level.EMULATED,
        "suffix": Level.REFUSED,
        "logprobs": Level.REFUSED if logprobs is None else Level.MAPPED,
        "stop": Level.NATIVE if stop else Level.EMULATED,
        "stream": Level.MAPPED,
    }
    return Support(levels, extra=extra, max_stop=stop, max_top_logprobs=logprobs or 0, ranges=ranges or {})


@dataclass(frozen=True, slots=True)
class Row:
    """One provider.

    `base_url` is empty where only the operator knows it. `source` is the page of the provider's documentation that the
    rest follows. `keys` and `bases` are the environment variables of key and base URL; without `bases` the latter is
    `<NAME>_API_BASE`. `keyless` servers may have a key and need none.
    """

    name: str
    base_url: str
    source: str
    keys: tuple[str, ...]
    support: Support
    dialect: Dialect = field(default_factory=Dialect)
    bases: tuple[str, ...] = ()
    keyless: bool = False

    def provider(self) -> Provider:
        """The row as the registry holds it; a parameter that the dialect renames counts as mapped."""
        bind: Callable[[Target], Translator]
        if self.support.text:
            bind, support = partial(_text, base_url=self.base_url), self.support
        else:
            bind = partial(OpenAIChat, base_url=self.base_url, dialect=self.dialect)
            renamed = (*self.dialect.names, *(("max_tokens",) if self.dialect.max_tokens != "max_tokens" else ()))
            support = self.support.but(**dict.fromkeys(renamed, Level.MAPPED))
        return Provider(
            self.name,
            bind,
            support,
            key_env=self.keys,
            base_env=self.bases or (f"{self.name.upper()}_API_BASE",),
            keyless=self.keyless,
            needs_base=not self.base_url,
        )


def _text(target: Target, base_url: str) -> OpenAIText:
    """The text-completion language of a server other than OpenAI's own."""
    return OpenAIText(replace(target, base_url=target.base_url or base_url or None), base_url)
