"""Placeholders: what stands in a text for a value that was taken out, and the way back for the caller who sent it.

A vault lives as long as one request and is never shared: `<EMAIL_ADDRESS_1>` means something in that request alone, so
that no other caller of the model can ask for what it stands for, whatever the model remembers. A format may hold
`{nonce}` as well, eight random hex digits of the request, for a model that must not be able to guess either.

Values are in memory only, in no repr and no error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hmac import digest as hmac_digest
from secrets import token_bytes, token_hex

from gateway.guards.base import Action
from gateway.wire import json

PROCESS_KEY = token_bytes(32)
"""The key of hashes where the operator gave none: they agree within one process, and say nothing outside it."""

HASH_DIGITS = 16
_FIELDS = re.compile(r"\{(\w*)\}")
_NOT_A_NAME = re.compile(r"\W+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """How a guard's placeholders look, and whether the caller gets the values back.

    `placeholder` holds `{n}` once, `{entity}` and `{nonce}` at most once, and begins and ends with punctuation, so that
    no placeholder is the beginning of another. See `fault`.
    """

    placeholder: str = "<{entity}_{n}>"
    restore: bool = False


PLAIN = Form()


def fault(placeholder: str) -> str | None:
    """What is wrong with a placeholder format, as the end of the sentence `placeholder …`; None when nothing is."""
    fields = _FIELDS.findall(placeholder)
    if fields.count("n") != 1 or len(set(fields)) != len(fields) or not set(fields) <= {"n", "entity", "nonce"}:
        return "must hold {n} once, and may hold {entity} and {nonce}"
    literal = _FIELDS.sub("0", placeholder)
    if "{" in literal or "}" in literal:
        return "must not hold braces other than those of {n}, {entity} and {nonce}"
    if re.search(r"[0-9A-Za-z}]\{n\}|\{n\}[0-9A-Za-z{]", placeholder):
        return "must have a sign before and after {n} that is neither a letter nor a digit"
    if literal[0].isalnum() or literal[-1].isalnum() or literal[-1] in literal[:-1] or literal[-1] == "_":
        return "must begin and end with punctuation, and end with a sign that is not in it elsewhere"
    return None


_Kind = tuple[str, str]
"""A placeholder without its number: what stands before it and after it. Each kind is numbered on its own."""


@lru_cache(maxsize=1024)
def entity(rule: str) -> str:
    """A rule's name as it stands in a placeholder: `aws-access-key` is `AWS_ACCESS_KEY`."""
    return _NOT_A_NAME.sub("_", rule).upper()


class Vault:
    """The placeholders of one request.

    Args:
        key: the secret of the `hash` action; the same key gives the same hash in every request.
        parent: the vault whose placeholders go on to be used here; see `branch`.
    """

    __slots__ = ("_counts", "_key", "_nonce", "_parent", "_placeholders", "_taken", "_texts", "_values")

    def __init__(self, key: bytes = PROCESS_KEY, parent: "Vault | None" = None) -> None:
        self._key = key
        self._parent = parent
        self._nonce: str = parent._nonce if parent else token_hex(4)
        self._placeholders: dict[tuple[Form, str], str] = {}
        self._counts: dict[_Kind, int] = {}
        self._values: dict[str, str] = {}
        self._texts: tuple[str, ...] = ()
        self._taken: dict[_Kind, set[int]] = {}

    def __repr__(self) -> str:
        return f"<Vault {len(self._placeholders)} placeholders, {len(self._values)} to restore>"

    def avoid(self, texts: Sequence[str]) -> None:
        """Issue no placeholder that already stands in `texts`: what a caller wrote out is not what a vault issued."""
        self._texts = (*self._texts, *texts)
        self._taken.clear()

    def branch(self) -> "Vault":
        """A vault for one text of the answer: it knows the request's placeholders, and numbers its own after them.

        Each choice has its own, for choices come interleaved and what one is given must not hang on another's pace.
        What it issues stands for what the model wrote itself, and is never restored.
        """
        return Vault(self._key, self)

    def replacement(self, action: Action, rule: str, form: Form, value: str) -> str:
        """What is written instead of `value`: a placeholder, a hash in a placeholder's form, or nothing (`redact`)."""
        if action == "redact":
            return ""
        if action == "hash":
            head, tail = self._kind(rule, form)
            mac = hmac_digest(self._key, value.encode("utf-8", "surrogatepass"), "sha256")
            return f"{head}{mac.hex()[:HASH_DIGITS]}{tail}"
        return self._known(form, value) or self._issue(rule, form, value)

    def restorer(self, *, in_json: bool = False) -> "Restorer | None":
        """What turns this request's placeholders in its answer back; None when there are none to turn back.

        Only for text on its way to the caller, after every guard. `in_json`: values are escaped as inside a JSON string
        (tool arguments).
        """
        return Restorer(self._values, in_json=in_json) if self._values else None

    def _known(self, form: Form, value: str) -> str | None:
        found = self._placeholders.get((form, value))
        if found is None and self._parent is not None:
            return self._parent._known(form, value)
        return found

    def _issue(self, rule: str, form: Form, value: str) -> str:
        kind = self._kind(rule, form)
        number = self._count(kind) + 1
        if self._texts:
            taken = self._written(kind)
            while number in taken:
                number += 1
        self._counts[kind] = number
        made = f"{kind[0]}{number}{kind[1]}"
        self._placeholders[form, value] = made
        if form.restore and self._parent is None:
            self._values[made] = value
        return made

    def _kind(self, rule: str, form: Form) -> _Kind:
        fields = {"entity": entity(rule), "nonce": self._nonce, "n": "\0"}
        head, _, tail = _FIELDS.sub(lambda match: fields[match[1]], form.placeholder).partition("\0")
        return head, tail

    def _count(self, kind: _Kind) -> int:
        found = self._counts.get(kind)
        if found is None:
            return self._parent._count(kind) if self._parent is not None else 0
        return found

    def _written(self, kind: _Kind) -> set[int]:
        """The numbers of this kind of placeholder that stand in the texts already."""
        found = self._taken.get(kind)
        if found is None:
            pattern = re.compile(f"{re.escape(kind[0])}([0-9]{{1,18}}){re.escape(kind[1])}", re.ASCII)
            found = {int(number) for text in self._texts for number in pattern.findall(text)}
            self._taken[kind] = found
        return found


class Restorer:
    """Turns placeholders back in one text that comes in pieces, cut anywhere. What it wrote is not looked at again.

    Args:
        values: what each placeholder stands for.
        in_json: values are escaped as inside a JSON string.

    `changed` says that some placeholder has been turned back.
    """

    __slots__ = ("_held", "_lengths", "_opening", "_prefixes", "_values", "changed")

    def __init__(self, values: dict[str, str], *, in_json: bool = False) -> None:
        self._values = {name: json.dumps(value).decode()[1:-1] for name, value in values.items()} if in_json else values
        self._lengths = sorted({len(name) for name in values})
        self._prefixes = {name[:size] for name in values for size in range(1, len(name))}
        self._opening = re.compile(f"[{re.escape(''.join(sorted({name[0] for name in values})))}]")
        self._held = ""
        self.changed = False

    def __repr__(self) -> str:
        return f"<Restorer {len(self._values)} placeholders>"

    @property
    def held(self) -> int:
        """Characters held back, for they may be the beginning of a placeholder."""
        return len(self._held)

    def feed(self, text: str) -> str:
        """`text` with its placeholders turned back, but for an end that may be the beginning of one."""
        if self._held:
            text = self._held + text
            self._held = ""
        out: list[str] = []
        done = 0
        found = self._opening.search(text)
        while found is not None:
            start = found.start()
            end = self._placeholder_at(text, start)
            if end:
                out += (text[done:start], self._values[text[start:end]])
                self.changed = True
                done = end
            elif len(text) - start < self._lengths[-1] and text[start:] in self._prefixes:
                self._held = text[start:]
                out.append(text[done:start])
                return "".join(out)
            found = self._opening.search(text, end or start + 1)
        return "".join((*out, text[done:])) if done else text

    def close(self) -> str:
        """What was held back: the beginning of a placeholder that did not go on."""
        held, self._held = self._held, ""
        return held

    def _placeholder_at(self, text: str, start: int) -> int:
        """Where the placeholder that begins at `start` ends; 0 when none does."""
        for length in self._lengths:
            if text[start : start + length] in self._values:
                return start + length
        return 0
