"""Which parameters of a request reach a provider: those it cannot honour are refused by name, or dropped and named.

Pure, without I/O. What the gateway does in a provider's place is `gateway.providers.translation`'s to say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.providers.base import Level, Support
from gateway.types import CompletionRequest

RESERVED = frozenset({
    "messages", "input", "contents", "content", "system", "systemInstruction", "system_instruction", "instructions",
    "template", "context", "images", "tools", "tool_choice", "tool_config", "toolConfig", "functions",
    "function_call", "documents", "prediction", "audio", "modalities", "store", "background", "conversation",
    "previous_response_id", "web_search_options", "cachedContent", "cached_content", "models", "route", "provider",
    "transforms", "plugins", "base_url", "api_key", "api_base", "headers", "extra_headers", "extra_body",
    "max_completion_tokens", "max_new_tokens", "max_output_tokens", "maxOutputTokens", "num_predict", "n_predict",
    "top_logprobs", "candidateCount", "num_return_sequences",
})  # fmt: skip
"""Extra parameters that no setting lets through: they carry text that no policy has read, choose another model or
server, or go around a limit."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the translation needs to know of a deployment.

    `decode` turns token ids into text with the model's own tokenizer; None when no tokenizer is known.
    """

    provider: str
    support: Support
    decode: Callable[[tuple[int, ...]], str] | None = None
    allow_extra: bool = False
    drop_params: bool = False
    continuation: str | None = None
    emulate_suffix: bool = False


@dataclass(slots=True)
class Wanted:
    """The parameters of a request as they are being judged."""

    shape: Shape
    values: dict[str, Any]
    dropped: list[str] = field(default_factory=list)
    stop: tuple[str, ...] = ()
    """The stop sequences that the gateway has to see to."""

    def refuse(self, name: str, why: str) -> None:
        """Drop a parameter where the operator allows it, else say no."""
        if not self.shape.drop_params:
            raise UnsupportedParameter(f"{why} Leave {name} out, or choose another model.", param=name)
        self.values.pop(name, None)
        self.dropped.append(name)


_OPTIONAL = (
    "suffix", "best_of", "logprobs", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop",
    "logit_bias",
)  # fmt: skip


def given(request: CompletionRequest) -> dict[str, Any]:
    """The parameters that reach a provider, those the client gave."""
    values = {name: value for name in _OPTIONAL if (value := getattr(request, name)) not in (None, ())}
    if values.get("best_of") == request.n:
        del values["best_of"]  # nothing to choose from
    values.update(max_tokens=request.max_tokens, stream=request.stream)
    for name in ("user", "metadata", "safety_identifier"):
        if (value := getattr(request, name)) is not None:
            values[name] = value
    if request.extra:
        values["extra"] = dict(request.extra)
    return values


def judge(wanted: Wanted, request: CompletionRequest) -> None:
    """Refuse, drop or clamp what the provider cannot take as it is."""
    shape, values = wanted.shape, wanted.values
    support = shape.support
    for name in _OPTIONAL:
        if name not in values or support.level(name) is not Level.REFUSED:
            continue
        if name == "suffix" and shape.emulate_suffix:
            continue
        wanted.refuse(name, f"{shape.provider} does not support {name} for this model.")
    logprobs = values.get("logprobs")
    if logprobs is not None and logprobs > support.max_top_logprobs:
        wanted.refuse("logprobs", f"{shape.provider} gives at most {support.max_top_logprobs} logprobs per token.")
    if "stop" in values:
        wanted.stop = _split_stop(values, support)
    if support.level("user") is Level.REFUSED:
        values.pop("user", None)  # the gateway itself reads it, so it has done its work even where nobody else knows it
    for name, (low, high) in support.ranges.items():
        if name in values:
            values[name] = min(max(values[name], low), high)
    if request.echo and request.logprobs is not None and support.level("echo") is not Level.NATIVE:
        wanted.refuse("echo", f"{shape.provider} gives no logprobs for the prompt, which echo with logprobs needs.")
    for name in request.extra:
        if name in RESERVED or not (support.extra or shape.allow_extra):
            _refuse_extra(wanted, name)


def _split_stop(values: dict[str, Any], support: Support) -> tuple[str, ...]:
    """Leave in `values` the stop sequences the provider takes; the others, which the gateway sees to, are returned."""
    asked: tuple[str, ...] = values.pop("stop")
    taken: list[str] = []
    if support.level("stop") in (Level.NATIVE, Level.MAPPED):
        taken = [stop for stop in asked if support.blank_stop or stop.strip()][: support.max_stop]
    if taken:
        values["stop"] = tuple(taken)
    return tuple(stop for stop in asked if stop not in taken)


def _refuse_extra(wanted: Wanted, name: str) -> None:
    if not wanted.shape.drop_params:
        allowed = "." if name in RESERVED else ", or let the operator set extra_params: allow for this model."
        raise UnsupportedParameter(
            f"{name[:80]} is not a parameter of text completions that {wanted.shape.provider} takes. Leave it out"
            + allowed,
            param=name[:80],
        )
    extra = wanted.values["extra"]
    del extra[name]
    if not extra:
        del wanted.values["extra"]
    wanted.dropped.append(name[:80])
