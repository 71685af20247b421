"""Which metrics and labels a PromQL expression names."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


class Named(NamedTuple):
    """Metrics, each with the labels it is selected by; and the labels that results are grouped by."""

    metrics: dict[str, set[str]]
    grouped: set[str]


def named(expression: str) -> Named:
    """What `expression` names; Grafana's variables may stand in strings and ranges."""
    bare = _STRING.sub('""', expression)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    grouped = {label.strip() for _, labels in _GROUPED.findall(bare) for label in labels.split(",") if label.strip()}
    metrics: dict[str, set[str]] = {}
    for name, labels in _selectors(_GROUPED.sub("", bare)):
        metrics.setdefault(name, set()).update(labels)
    return Named(metrics, grouped)


def _selectors(bare: str) -> Iterator[tuple[str, list[str]]]:
    for found in _SELECTOR.finditer(bare):
        name, labels = found.groups()
        called = bare[found.end() :].lstrip().startswith("(")
        number = found.start() and bare[found.start() - 1] in "0123456789."  # the e of 1e6
        if not called and not number and name not in _WORDS:
            yield name, _MATCHER.findall(labels or "")
