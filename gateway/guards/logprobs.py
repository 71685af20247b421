"""The tokens of a choice, which are its text once more, and alternatives that are text too.

The rule, for whole answers and streams alike: the piece of a choice whose text was changed, and every later piece, has
no logprobs. A whole answer is one piece, so it has none at all; what a stream sent before the change can be told from
its text anyway. Tokens are judged as a text of their own, since nothing but the provider says that they are the
choice's, and leave no earlier than the text they stand for.
"""

import codecs
from collections import deque
from collections.abc import Sequence

from gateway.guards.merge import CHANGES
from gateway.guards.policy import Run
from gateway.guards.track import Plan
from gateway.guards.vault import Vault
from gateway.guards.window import Window
from gateway.types import TokenLogprob

Logprobs = tuple[TokenLogprob, ...]


class Tokens:
    """The logprobs of one choice: pieces in, what may leave out; None from the first change on."""

    __slots__ = ("_decoder", "_dropped", "_plan", "_queue", "_runs", "_size", "_window")

    def __init__(self, plan: Plan, path: str) -> None:
        self._plan = plan
        self._runs = tuple(Run(run.policy) for run in plan.enforced)
        self._window = Window(self._runs, path, Vault(), max_held=plan.max_held)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._queue: deque[tuple[int, TokenLogprob]] = deque()
        self._size = 0
        self._dropped = False

    def feed(self, tokens: Logprobs | None, left: int, *, final: bool, changed: bool) -> Logprobs | None:
        """What may leave with a piece of the text.

        Args:
            left: characters of the choice's text that have left, or been replaced.
            changed: the choice's text has been changed, now or before.
        """
        if self._dropped:
            return None
        window = self._window
        for token in tokens or ():
            text = token.token if token.raw is None else self._decoder.decode(token.raw)
            self._size += len(text)
            self._queue.append((self._size, token))
            window.feed(text)
        if final:
            window.close()
        if changed or window.changed or window.blocked is not None or self._finds_in(tokens or ()):
            self._drop()
            return None
        limit = self._size if final else min(window.left, left)
        given: list[TokenLogprob] = []
        while self._queue and self._queue[0][0] <= limit:
            given.append(self._queue.popleft()[1])
        return tuple(given) or None

    def _finds_in(self, tokens: Sequence[TokenLogprob]) -> bool:
        """Whether a guard would change an alternative, or a name that is not the token's bytes; a guard that fails is
        taken to."""
        text = "\n".join(
            [
                *(alternative for token in tokens for alternative, _ in token.top),
                *(
                    one.token
                    for one in tokens
                    if one.raw is not None and one.raw != one.token.encode("utf-8", "replace")
                ),
            ]
        )
        if not text:
            return False
        for run in self._runs:
            for guard in run.policy.spans:
                try:
                    found = guard.find(text, self._window.path)
                    run.found += found
                    if any(finding.action in CHANGES for finding in found):
                        return True
                except Exception as error:  # the verdict tells it
                    run.fail("error", f"{guard.name}: {type(error).__name__}")
                    return True
        return False

    def _drop(self) -> None:
        """Nothing leaves any more; what the text's own findings do not tell goes into its policies' records."""
        self._dropped = True
        self._queue.clear()
        for own, run in zip(self._runs, self._plan.enforced, strict=True):
            told = {(finding.guard, finding.rule) for finding in run.found}
            run.found += (finding for finding in own.found if (finding.guard, finding.rule) not in told)
