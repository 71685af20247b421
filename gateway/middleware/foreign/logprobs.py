"""The logprobs of a foreign app's answer: its text once more, token by token, in the form the app has written them."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gateway.guards.fields import Fields
from gateway.guards.logprobs import Tokens
from gateway.wire import chat
from gateway.wire.known import TOKEN_FIELDS

Left = Callable[[str], int]
"""How many characters of the text at a path have left, or been replaced."""


class _Row:
    """The tokens of one text of a choice, and the values they were read from."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._waiting: deque[Any] = deque()

    def take(self, given: Sequence[chat.Entry], left: int, *, final: bool, changed: bool) -> list[Any]:
        """The values that may leave."""
        self._waiting.extend(entry.given for entry in given)
        leaving = self._tokens.feed(tuple(e.token for e in given), left, final=final, changed=changed)
        return [self._waiting.popleft() for _ in leaving or ()]


class Logprobs:
    """The logprobs of all choices of one answer."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._rows: dict[tuple[int, str], _Row] = {}

    def judge(self, choice: dict[str, Any], index: int, left: Left, *, final: bool, changed: bool) -> bool:
        """Judge the logprobs of a choice, whose texts have been judged; says whether they are others now.

        Args:
            left: see `Left`.
            final: the choice ends here.
            changed: a text of the choice has been changed, now or before.
        """
        given = choice.get("logprobs")
        known = [name for number, name in self._rows if number == index]
        if given is None and not known:
            return False
        read = chat.entries(given) if given is not None else {}
        if read is None:
            if self._fields.enforcing or changed:
                choice["logprobs"] = None
                return True
            return False
        leaving: dict[str, Any] = {}
        same = True
        for name in dict.fromkeys((*known, *read)):
            path = f"choices[{index}].{'text' if name == 'text' else f'message.{name}'}"
            if (index, name) not in self._rows:
                self._rows[index, name] = _Row(self._fields.tokens(f"{path}.logprobs"))
            entries = read.get(name, ())
            out = self._rows[index, name].take(entries, left(path), final=final, changed=changed)
            same &= len(out) == len(entries) and all(a is e.given for a, e in zip(out, entries, strict=True))
            if out:
                leaving |= chat.joined(name, out)
        if same:
            return False
        choice["logprobs"] = leaving or None
        return True

    def __contains__(self, index: int) -> bool:
        """Whether a choice has had logprobs."""
        return any(number == index for number, _ in self._rows)

    def without_ids(self, *values: Any) -> bool:
        """Take out the fields that hold a text once more as ids of a vocabulary that nobody here knows, while a policy
        is enforced; says whether there were any."""
        changed = False
        for value in values:
            if not isinstance(value, dict) or TOKEN_FIELDS.isdisjoint(value) or not self._fields.enforcing:
                continue
            for name in TOKEN_FIELDS & value.keys():
                if isinstance(value[name], list | dict):
                    value[name] = None
                    changed = True
        return changed
