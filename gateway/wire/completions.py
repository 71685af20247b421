"""The client's text completion request (contract §2): JSON to `CompletionRequest`, or the error that says why not.

Ranges and meanings are those of OpenAI's legacy Completions API
(https://platform.openai.com/docs/api-reference/completions/create). A null is an absent parameter, as there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gateway.errors import InvalidJson, InvalidType, InvalidValue, MissingParameter
from gateway.types import CompletionRequest, Prompt
from gateway.wire import json

MAX_CHOICES = 2048
"""Most choices (prompts times max(n, best_of)) one request may ask for; OpenAI takes as many prompts."""

MAX_DEPTH = 64
"""How deep the values that are passed on as they are may be nested; JSON libraries write about 250 levels at most."""

_INT64 = 2**63 - 1
_INT32 = 2**31 - 1

Reader = Callable[[str, Any], Any]


def parse(body: bytes, path_model: str | None = None) -> CompletionRequest:
    """The request in `body`; `path_model` is the model named by the URL, which wins over the body's.

    Raises:
        InvalidJson: the body is not one JSON object in UTF-8.
        MissingParameter, InvalidType, InvalidValue: with `param` naming the field.
    """
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON ({_position(error)}); send one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidJson("The body must be a JSON object with at least model and prompt.")
    return read(value, path_model)


def read(value: Mapping[str, Any], path_model: str | None = None) -> CompletionRequest:
    """The request in a decoded JSON object; raises as `parse` does."""
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, given in value.items():
        if given is None:
            continue
        reader = READERS.get(name)
        if reader is None:
            extra[name] = _shallow(name[:80], given)
        else:
            fields[name] = reader(name, given)
    if path_model is not None:
        fields["model"] = _model("model", path_model)
    for name in ("model", "prompt"):
        if name not in fields:
            raise MissingParameter(f"The parameter {name} is required.", param=name)
    named = frozenset(fields)
    include_usage = fields.pop("stream_options", None)
    if include_usage is not None and not fields.get("stream"):
        raise InvalidValue("stream_options may only be given with stream: true.", param="stream_options")
    request = CompletionRequest(
        prompts=fields.pop("prompt"), include_usage=bool(include_usage), extra=extra, given=named, **fields
    )
    _check_together(request)
    return request


def with_defaults(request: CompletionRequest, defaults: Mapping[str, Any]) -> CompletionRequest:
    """`request` with the operator's `defaults` for the parameters that the client left out.

    Raises:
        InvalidValue: a default contradicts what the client gave.
    """
    missing = {name: READERS[name](name, value) for name, value in defaults.items() if name not in request.given}
    if not missing:
        return request
    filled = replace(request, **missing)
    _check_together(filled)
    return filled


def _check_together(request: CompletionRequest) -> None:
    """The rules that tie parameters to each other."""
    best_of = request.best_of
    if best_of is not None:
        if best_of < request.n:
            raise InvalidValue(f"best_of ({best_of}) must be at least n ({request.n}).", param="best_of")
        if request.stream and best_of > 1:
            raise InvalidValue(
                "best_of cannot be used with stream: the best is known only at the end.", param="best_of"
            )
    if request.max_tokens == 0 and not request.echo:
        raise InvalidValue("max_tokens may be 0 only with echo: true; ask for at least 1 token.", param="max_tokens")
    choices = len(request.prompts) * max(request.n, best_of or 1)
    if choices > MAX_CHOICES:
        raise InvalidValue(
            f"The request asks for {choices} choices; at most {MAX_CHOICES} fit into one request.", param="prompt"
        )


def _position(error: json.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def _kind(value: Any) -> str:
    """The JSON type of a value, in words; never the value."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _wrong(name: str, expected: str, value: Any) -> InvalidType:
    return InvalidType(f"{name} must be {expected}, not {_kind(value)}.", param=name)


def _integer(low: int, high: int) -> Reader:
    def reader(name: str, value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)  # 5.0 is an integer in JSON Schema's eyes
        if type(value) is not int:
            raise _wrong(name, "an integer", value)
        if not low <= value <= high:
            raise InvalidValue(f"{name} must be between {low} and {high}.", param=name)
        return value

    return reader


def _number(low: float, high: float) -> Reader:
    def reader(name: str, value: Any) -> float:
        if type(value) not in (int, float):
            raise _wrong(name, "a number", value)
        if not low <= value <= high or math.isnan(value):
            raise InvalidValue(f"{name} must be between {low:g} and {high:g}.", param=name)
        return value  # type: ignore[no-any-return]

    return reader


def _boolean(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(name, "true or false", value)
    return value


def _string(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _wrong(name, "a string", value)
    return value


def _model(name: str, value: Any) -> str:
    model = _string(name, value).strip()
    if not model or len(model) > 512:
        raise InvalidValue(f"{name} must be the name of a model, 1 to 512 characters long.", param=name)
    return model


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if type(value) is not dict:
        raise _wrong(name, "an object", value)
    _shallow(name, value)
    return value


def _shallow(name: str, value: Any) -> Any:
    """`value`, as long as it is not nested deeper than it can be written again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if type(item) in (list, dict)
            for inner in (item.values() if type(item) is dict else item)
        ]
        if not level:
            return value
    raise InvalidValue(f"{name} must not be nested deeper than {MAX_DEPTH} levels.", param=name)


def _strings(limit: int) -> Reader:
    def reader(name: str, value: Any) -> tuple[str, ...]:
        values = [value] if type(value) is str else value
        if type(values) not in (list, tuple) or any(type(item) is not str for item in values):
            raise _wrong(name, "a string or an array of strings", value)
        if len(values) > limit:
            raise InvalidValue(f"{name} may hold at most {limit} strings.", param=name)
        if "" in values:
            raise InvalidValue(f"{name} may not hold an empty string.", param=name)
        return tuple(values)

    return reader


def _logit_bias(name: str, value: Any) -> Mapping[str, float]:
    for token, bias in _object(name, value).items():
        if not (token.isascii() and token.isdigit() and len(token) <= 10):
            raise InvalidValue(f"The keys of {name} must be token ids, written as decimal strings.", param=name)
        if type(bias) not in (int, float):
            raise _wrong(name, "an object of numbers", bias)
        if not -100 <= bias <= 100:
            raise InvalidValue(f"The values of {name} must be between -100 and 100.", param=name)
    return value  # type: ignore[no-any-return]


def _stream_options(name: str, value: Any) -> bool:
    """Whether usage is wanted; `include_obfuscation` may only be false, since this gateway pads nothing."""
    options = {key: given for key, given in _object(name, value).items() if given is not None}
    include = _boolean(name, options.pop("include_usage", False))
    if _boolean(name, options.pop("include_obfuscation", False)):
        raise InvalidValue(f"{name}.include_obfuscation is not available; leave it out.", param=name)
    if options:
        raise InvalidValue(f"{name} takes only include_usage.", param=name)
    return include


def _prompt(name: str, value: Any) -> tuple[Prompt, ...]:
    """A string, a list of strings, a list of token ids, or a list of lists of token ids; never empty, never mixed."""
    if type(value) is str:
        return (value,)
    if type(value) is not list:
        raise _wrong(name, "a string, an array of strings, or token ids", value)
    if not value:
        raise InvalidValue(f"{name} must not be an empty array.", param=name)
    first = type(value[0])
    if any(type(item) is not first for item in value):
        raise InvalidType(f"{name} must not mix strings, numbers and arrays.", param=name)
    if first is str:
        return tuple(value)
    if first is int:
        return (_token_ids(name, value),)
    if first is list:
        return tuple(_token_ids(name, item) for item in value)
    raise InvalidType(f"{name} must be an array of strings, of token ids, or of arrays of token ids.", param=name)


def _token_ids(name: str, ids: list[Any]) -> tuple[int, ...]:
    if not ids:
        raise InvalidValue(f"{name} must not hold an empty array of token ids.", param=name)
    if any(type(item) is not int for item in ids):
        raise InvalidType(f"The token ids of {name} must all be integers.", param=name)
    if min(ids) < 0 or max(ids) > _INT32:
        raise InvalidValue(f"The token ids of {name} must be between 0 and {_INT32}.", param=name)
    return tuple(ids)


READERS: Mapping[str, Reader] = {
    "model": _model,
    "prompt": _prompt,
    "suffix": _string,
    "max_tokens": _integer(0, _INT32),
    "n": _integer(1, 128),
    "best_of": _integer(1, 20),
    "echo": _boolean,
    "logprobs": _integer(0, 5),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": _integer(-_INT64 - 1, _INT64),
    "stop": _strings(4),
    "logit_bias": _logit_bias,
    "user": _string,
    "stream": _boolean,
    "stream_options": _stream_options,
    "metadata": _object,
    "tags": _strings(64),
    "safety_identifier": _string,
}
"""How each parameter is read; a parameter that is not here is `extra`, and the chosen provider decides."""
