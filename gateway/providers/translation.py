"""A text completion request as the calls that answer it at one deployment: pure, without I/O.

This is where exact text-completion semantics meet providers that only chat: each prompt becomes its own call, what the
provider cannot do is emulated or refused by name, and nothing is ever dropped silently.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import InvalidValue, UnsupportedParameter
from gateway.providers.base import Level, Support
from gateway.types import Call, CompletionRequest, Message, Prompt

CONTINUATION_PROMPT = (
    "Continue the user's text from exactly where it ends. Reply with the continuation only: do not repeat the text, "
    "do not answer it, do not comment on it."
)
"""The system message of `translation: continuation`, unless the model sets its own `continuation_prompt`."""

INFILL_PROMPT = (
    "The user gives the text before a gap and the text after it. Reply with the text that fills the gap only: "
    "do not repeat what is given and do not comment on it."
)
"""The system message of `suffix: emulate`."""


RESERVED = frozenset(
    [
        "messages",
        "input",
        "contents",
        "content",
        "system",
        "systemInstruction",
        "system_instruction",
        "instructions",
        "template",
        "context",
        "images",
        "tools",
        "tool_choice",
        "tool_config",
        "toolConfig",
        "functions",
        "function_call",
        "documents",
        "prediction",
        "audio",
        "modalities",
        "store",
        "background",
        "conversation",
        "previous_response_id",
        "web_search_options",
        "cachedContent",
        "cached_content",
        "models",
        "route",
        "provider",
        "transforms",
        "plugins",
        "base_url",
        "api_key",
        "api_base",
        "headers",
        "extra_headers",
        "extra_body",
        "max_completion_tokens",
        "max_new_tokens",
        "max_output_tokens",
        "maxOutputTokens",
        "num_predict",
        "n_predict",
        "top_logprobs",
        "candidateCount",
        "num_return_sequences",
    ]
)
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


@dataclass(frozen=True, slots=True)
class Placed:
    """A call and the number its first choice has among all that will be asked for."""

    call: Call
    first: int


@dataclass(frozen=True, slots=True)
class Translation:
    """The calls for one request at one deployment, and what is left for the gateway to do with their answers.

    `echo` is the text to put in front of the choices of each prompt, None when nothing is to be put there.
    `best_of` is the number of candidates per prompt from which the `n` best are kept, None when all are kept.
    `dropped` names the parameters that were left out because `drop_params` says so.
    """

    calls: tuple[Placed, ...]
    prompts: int
    n: int
    echo: tuple[str, ...] | None = None
    best_of: int | None = None
    keep_logprobs: bool = True
    dropped: tuple[str, ...] = ()


@dataclass(slots=True)
class _Wanted:
    """The parameters of a request as they are being judged."""

    shape: Shape
    values: dict[str, Any]
    dropped: list[str] = field(default_factory=list)

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


def translate(request: CompletionRequest, shape: Shape) -> Translation:
    """The calls that answer `request` at a deployment of this `shape`.

    Raises:
        UnsupportedParameter: the provider cannot honour a parameter and nothing allows to drop it; `param` names it.
        InvalidValue: a token-id prompt that cannot be read.
    """
    wanted = _Wanted(shape, _given(request))
    _judge(wanted, request)
    prompts = tuple(_readable(prompt, shape) for prompt in request.prompts)
    native_echo = _echoes_natively(wanted, request, prompts)
    echo = None
    if request.echo and not native_echo and "echo" not in wanted.dropped:
        echo = tuple(_text(prompt, shape) for prompt in prompts)
    if request.max_tokens == 0 and not native_echo:
        return Translation((), len(prompts), request.n, echo, dropped=tuple(wanted.dropped))
    values = wanted.values
    best_of = values.pop("best_of", None)
    emulated = best_of is not None and shape.support.level("best_of") is Level.EMULATED
    if best_of is not None and not emulated:
        values["best_of"] = best_of
    if emulated:
        values.setdefault("logprobs", 0)  # the ranking needs the chosen tokens' logprobs
    per_prompt = best_of if emulated else request.n
    if native_echo:
        values["echo"] = True
    return Translation(
        calls=_place(prompts, per_prompt, values, shape),
        prompts=len(prompts),
        n=request.n,
        echo=echo,
        best_of=best_of if emulated else None,
        keep_logprobs=request.logprobs is not None and "logprobs" not in wanted.dropped,
        dropped=tuple(wanted.dropped),
    )


def _given(request: CompletionRequest) -> dict[str, Any]:
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


def _judge(wanted: _Wanted, request: CompletionRequest) -> None:
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
    if len(values.get("stop", ())) > support.max_stop:
        wanted.refuse("stop", f"{shape.provider} takes at most {support.max_stop} stop sequences.")
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


def _refuse_extra(wanted: _Wanted, name: str) -> None:
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


def _readable(prompt: Prompt, shape: Shape) -> Prompt:
    """The prompt as the provider takes it: token ids only where it takes those."""
    if isinstance(prompt, str) or shape.support.token_prompts:
        return prompt
    return _text(prompt, shape)


def _text(prompt: Prompt, shape: Shape) -> str:
    if isinstance(prompt, str):
        return prompt
    if shape.decode is None:
        raise UnsupportedParameter(
            "This model's tokenizer is not known here, so a prompt of token ids cannot be read; send text, or let the "
            "operator set the model's tokenizer.",
            param="prompt",
        )
    try:
        return shape.decode(prompt)
    except ValueError as error:
        raise InvalidValue(
            "prompt holds a token id that this model's tokenizer does not have.", param="prompt"
        ) from error


def _echoes_natively(wanted: _Wanted, request: CompletionRequest, prompts: tuple[Prompt, ...]) -> bool:
    """Whether the provider itself must repeat the prompt: for its logprobs, or because only it can read the ids."""
    if not request.echo or wanted.shape.support.level("echo") is not Level.NATIVE:
        return False
    unreadable = wanted.shape.decode is None and not all(isinstance(prompt, str) for prompt in prompts)
    return unreadable or "logprobs" in wanted.values


def _place(prompts: tuple[Prompt, ...], per_prompt: int, values: Mapping[str, Any], shape: Shape) -> tuple[Placed, ...]:
    """For each prompt as few calls as the provider's `n` allows; one per choice where it makes only one at a time."""
    together = shape.support.max_n if shape.support.level("n") in (Level.NATIVE, Level.MAPPED) else 1
    placed: list[Placed] = []
    for number, prompt in enumerate(prompts):
        messages = _messages(prompt, values.get("suffix"), shape)
        for start in range(0, per_prompt, together):
            own = dict(values)
            if start and "seed" in own:
                # One seed for separate calls would give the same text again; each gets its own, reproducibly.
                own["seed"] = (own["seed"] + start) % 2**63
            n = min(together, per_prompt - start)
            placed.append(Placed(Call(messages, prompt, n=n, **own), number * per_prompt + start))
    return tuple(placed)


def _messages(prompt: Prompt, suffix: str | None, shape: Shape) -> tuple[Message, ...]:
    """The prompt as a chat: one user message, after a system message where the model asks for one."""
    if not isinstance(prompt, str):
        return ()
    if suffix is not None and shape.emulate_suffix:
        gap = f"<before>{prompt}</before>\n<after>{suffix}</after>"
        return (Message("system", INFILL_PROMPT), Message("user", gap))
    if shape.continuation is not None:
        return (Message("system", shape.continuation), Message("user", prompt))
    return (Message("user", prompt),)
