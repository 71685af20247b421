"""Labelled text, for `gateway policies test --data`: JSON Lines, or one JSON list, of texts and the spans in them.

Two forms are read. Ours is `{"text": …, "stage": "input", "entities": [{"type": "URL", "start": 5, "end": 20}]}`, where
`stage` may be left out, `entity` stands for `type`, and a label without `start` and `end` is about the whole text.
Presidio's is `{"full_text": …, "spans": [{"entity_type": …, "start_position": 5, "end_position": 20}]}`. Positions are
characters (Unicode code points), the end not included. Other keys are not looked at.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.guards.base import Stage
from gateway.guards.measure import Span
from gateway.wire import json

MAX_FAULTS = 20
"""Faults of one file that are told one by one."""

_STAGES: Mapping[str, Stage] = {"input": "input", "output": "output"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One text and what is in it; `stage` is None where the data does not say."""

    text: str = field(repr=False)
    spans: tuple[Span, ...]
    stage: Stage | None = None


def read(file: Path, renamed: Mapping[str, str] | None = None) -> list[Labelled]:
    """The labelled texts of a file.

    Args:
        renamed: for labels of the data, the entities they stand for here.

    Raises:
        ConfigError: the file cannot be read or holds no text, and every line that is not a labelled text, by number.
    """
    try:
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror or 'unknown reason'}"]) from error
    rows: list[Labelled] = []
    faults: list[str] = []
    for place, value in _values(file, data, faults):
        try:
            rows.append(_row(value, renamed or {}))
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if not rows and not faults:
        faults.append(f"{file}: holds no labelled text")
    if more := len(faults) - MAX_FAULTS:
        faults[MAX_FAULTS:] = [f"{file}: and {more} more faults"] if more > 0 else []
    if faults:
        raise ConfigError(faults)
    return rows


def _values(file: Path, data: bytes, faults: list[str]) -> Iterator[tuple[str, Any]]:
    """The JSON values of a file, each with the place that its faults begin with."""
    if data.lstrip().startswith(b"["):
        try:
            values: Iterable[Any] = json.loads(data)
        except json.JSONDecodeError as error:
            faults.append(f"{file}:{error.lineno}: is not JSON")
            return
        for number, value in enumerate(values, 1):
            yield f"{file}: row {number}", value
        return
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                faults.append(f"{file}:{number}: is not JSON; each line must be an object of its own")
                continue
            yield f"{file}:{number}", value


def _row(value: Any, renamed: Mapping[str, str]) -> Labelled:
    if not isinstance(value, dict):
        raise ValueError("must be an object with text and entities")
    text = _first(value, "text", "full_text")
    if not isinstance(text, str):
        raise ValueError("text must be a text")
    stage = value.get("stage")
    if stage is not None and stage not in _STAGES:
        raise ValueError("stage must be input or output")
    spans = _first(value, "entities", "spans")
    if not isinstance(spans, list):
        raise ValueError("entities must be a list, an empty one where there is nothing in the text")
    named = (_span(number, span, len(text), renamed) for number, span in enumerate(spans))
    return Labelled(text, tuple(dict.fromkeys(named)), _STAGES[stage] if stage else None)


def _span(number: int, value: Any, length: int, renamed: Mapping[str, str]) -> Span:
    place = f"entities[{number}]"
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object with type, start and end")
    name = _first(value, "type", "entity", "entity_type")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{place} must have a type")
    start, end = _first(value, "start", "start_position"), _first(value, "end", "end_position")
    if start is None and end is None:
        start, end = 0, length
    elif type(start) is not int or type(end) is not int:
        raise ValueError(f"{place} must have a start and an end, whole numbers, or neither for the whole text")
    if not 0 <= start < end <= length:
        raise ValueError(f"{place} does not lie in the text: from {start} to {end} of {length} characters")
    return renamed.get(name, name), start, end


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)
