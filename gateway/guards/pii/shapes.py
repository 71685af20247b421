"""From a detector's regular expression to two simpler ones in RE2's syntax that say "perhaps".

`shape` matches in every text in which the expression matches. `prefix` matches, up to the end of a text, from every
place where a match of the expression may have begun that the text does not yet decide. Both are made from the parsed
expression by rules that only ever widen it: look-arounds, word boundaries and back-references go, what is not ASCII may
be anything. They are searched for in the text as `folded` makes it.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

_PARSER: Any = import_module("re._parser")
"""The standard library's parser of regular expressions: Presidio's are all in a syntax it reads."""

_OTHER = r"\x{80}-\x{10FFFF}"
_CATEGORIES = {
    "CATEGORY_DIGIT": "0-9",
    "CATEGORY_NOT_DIGIT": r"\x00-/:-\x7f" + _OTHER,
    "CATEGORY_WORD": "0-9A-Za-z_" + _OTHER,
    "CATEGORY_NOT_WORD": r"\x00-/:-@\[-^`{-\x7f" + _OTHER,
    "CATEGORY_SPACE": r"\x09-\x0d\x1c-\x20" + _OTHER,
    "CATEGORY_NOT_SPACE": r"\x00-\x{10FFFF}",
}
_MANY = 64
"""A repetition of more than this is read as "any number": RE2 unrolls them."""

_DIGIT = re.compile(r"(?![0-9])\d")
_LIKE_ASCII = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"})
_NOTHING = "(?:)"


def folded(text: str, digits: Callable[[str, str], str]) -> str:
    """`text`, character by character, with every digit that is not ASCII as 0 and the four letters that equal an ASCII
    letter in another case as that letter.

    Args:
        digits: replaces such digits, as the detectors' own engine knows them: `digits("0", text)`.
    """
    return text if text.isascii() else digits("0", text).translate(_LIKE_ASCII)


def shape(pattern: str, *, fold: bool) -> str:
    """What matches wherever `pattern` does. `fold`: the case of letters does not matter."""
    tree = _PARSER.parse(pattern)
    return _cased(_wide(tree, _groups(tree)), fold)


def prefix(pattern: str, *, fold: bool) -> str:
    """What matches, up to the end of a text, wherever a match of `pattern` is undecided; never empty."""
    tree = _PARSER.parse(pattern)
    return _cased(_begun(list(tree), _groups(tree)), fold)


def _cased(pattern: str, fold: bool) -> str:
    return f"(?i:{pattern})" if fold else f"(?:{pattern})"


def _groups(tree: Any) -> dict[int, Any]:
    """The groups of an expression by number, for back-references."""
    found: dict[int, Any] = {}
    for name, value in _walk(tree):
        if name == "SUBPATTERN" and value[0] is not None:
            found[value[0]] = value[3]
    return found


def _walk(tree: Any) -> Any:
    for op, value in tree:
        yield str(op), value
        for inner in _inner(str(op), value):
            yield from _walk(inner)


def _inner(op: str, value: Any) -> Sequence[Any]:
    if op == "SUBPATTERN":
        return (value[3],)
    if op == "BRANCH":
        return tuple(value[1])
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        return (value[2],)
    return (value[1],) if op in ("ASSERT", "ASSERT_NOT") else ()


def _wide(tree: Any, groups: dict[int, Any]) -> str:
    return "".join(_one(str(op), value, groups) for op, value in tree)


def _one(op: str, value: Any, groups: dict[int, Any]) -> str:
    """One element of an expression, widened."""
    match op:
        case "LITERAL":
            return _literal(value)
        case "IN":
            return _class(value)
        case "NOT_LITERAL":
            return f"[^{_literal(value)}]"
        case "ANY":
            return r"[\x00-\x{10FFFF}]"
        case "SUBPATTERN":
            return f"(?:{_wide(value[3], groups)})"
        case "BRANCH":
            return f"(?:{'|'.join(_wide(arm, groups) or _NOTHING for arm in value[1])})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            return f"(?:{_wide(value[2], groups)}){_times(int(value[0]), value[1])}"
        case "GROUPREF":
            return f"(?:{_wide(groups[value], groups)})"
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return _NOTHING
    raise ValueError(f"no rule for {op}")


def _literal(code: int) -> str:
    return f"[\\x{{{code:X}}}]" if code < 0x80 else f"[{_OTHER}]"


def _class(items: Any) -> str:
    negated = str(items[0][0]) == "NEGATE"
    parts = []
    for op, value in items[1 if negated else 0 :]:
        match str(op):
            case "LITERAL":
                parts.append(f"\\x{{{value:X}}}")
            case "RANGE":
                parts.append(f"\\x{{{value[0]:X}}}-\\x{{{value[1]:X}}}")
            case "CATEGORY":
                parts.append(_CATEGORIES[str(value)])
            case other:
                raise ValueError(f"no rule for {other} in a class")
    if not negated:
        return f"[{''.join(parts)}]"
    # A negated class may hold characters whose folding it does not: let it take all that is not ASCII.
    return f"(?:[^{''.join(parts)}]|[{_OTHER}])"


def _times(least: int, most: Any) -> str:
    unbounded = str(most) == "MAXREPEAT" or int(most) > _MANY
    if unbounded:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return f"{{{least},{int(most)}}}"


def _begun(items: list[tuple[Any, Any]], groups: dict[int, Any]) -> str:
    """Everything with which a match of the sequence `items` may begin, down to nothing, up to all of it."""
    if not items:
        return _NOTHING
    (op, value), rest = items[0], items[1:]
    kind = str(op)
    if kind in ("AT", "GROUPREF") or (kind in ("ASSERT", "ASSERT_NOT") and value[0] < 0):
        whole = _one(kind, value, groups)
        return (
            _begun(rest, groups)
            if whole == _NOTHING
            else f"(?:{whole}{_begun(rest, groups)}|{_partly(kind, value, groups)})"
        )
    if kind in ("ASSERT", "ASSERT_NOT"):
        # What a look-ahead looks at may not be there yet.
        return f"(?:{_begun(list(value[1]), groups)}|{_begun(rest, groups)})"
    return f"(?:{_partly(kind, value, groups)}|{_one(kind, value, groups)}{_begun(rest, groups)})"


def _partly(kind: str, value: Any, groups: dict[int, Any]) -> str:
    """A part of one element, from its start."""
    match kind:
        case "SUBPATTERN":
            return _begun(list(value[3]), groups)
        case "GROUPREF":
            return _begun(list(groups[value]), groups)
        case "BRANCH":
            return f"(?:{'|'.join(_begun(list(arm), groups) for arm in value[1])})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most = 0, value[1]
            bounded = most if str(most) == "MAXREPEAT" else max(0, int(most) - 1)
            whole = f"(?:{_wide(value[2], groups)}){_times(least, bounded)}"
            return f"{whole}{_begun(list(value[2]), groups)}"
    return _NOTHING


def choices(pattern: str, *, fold: bool) -> str:
    """What the alternatives of `pattern` match where it has the most of them: the top-level domains of a link.

    Raises:
        ValueError: it has no alternatives.
    """
    arms = max((value[1] for op, value in _walk(_PARSER.parse(pattern)) if op == "BRANCH"), key=len, default=None)
    if arms is None:
        raise ValueError("has no alternatives")
    return _cased(_one("BRANCH", (None, arms), {}), fold)
