"""A text completion request as the calls that answer it at one deployment: pure, without I/O.

This is where exact text-completion semantics meet providers that only chat: each prompt becomes its own call, what the
provider cannot do is emulated or refused by name, and nothing is ever dropped silently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import InvalidValue, UnsupportedParameter
from gateway.providers.base import Level
from gateway.providers.parameters import Shape, Wanted, given, judge
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
    `stop` are the sequences at which the gateway ends the text because the provider cannot.
    `dropped` names the parameters that were left out because `drop_params` says so.
    """

    calls: tuple[Placed, ...]
    prompts: int
    n: int
    echo: tuple[str, ...] | None = None
    best_of: int | None = None
    keep_logprobs: bool = True
    stop: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def translate(request: CompletionRequest, shape: Shape) -> Translation:
    """The calls that answer `request` at a deployment of this `shape`.

    Raises:
        UnsupportedParameter: the provider cannot honour a parameter and nothing allows to drop it; `param` names it.
        InvalidValue: a token-id prompt that cannot be read.
    """
    wanted = Wanted(shape, given(request))
    judge(wanted, request)
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
        stop=wanted.stop,
        dropped=tuple(wanted.dropped),
    )


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


def _echoes_natively(wanted: Wanted, request: CompletionRequest, prompts: tuple[Prompt, ...]) -> bool:
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
