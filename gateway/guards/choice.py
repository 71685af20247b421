"""One choice of an answer, while it comes: its text, what the model thought of it, its tokens, and the way back for the
placeholders in them.
"""

from gateway.guards.logprobs import Tokens
from gateway.guards.policy import Run
from gateway.guards.track import Track
from gateway.guards.vault import Restorer


class Choice:
    """One choice, while it comes."""

    __slots__ = ("given", "over", "reasoning", "restorer", "text", "thoughts", "tokens")

    def __init__(self, text: Track, restorer: Restorer | None) -> None:
        self.text = text
        self.restorer = restorer
        self.reasoning: Track | None = None
        self.thoughts: Restorer | None = None
        """What turns placeholders in the reasoning back."""
        self.tokens: Tokens | None = None
        self.over = False
        self.given: list[str] = []
        """What may leave of an answer that is sent whole."""

    @property
    def changed(self) -> bool:
        return self.text.window.changed or (self.restorer is not None and self.restorer.changed)

    def restored(self, restorer: Restorer | None, text: str, *, final: bool) -> str:
        """`text` with the prompts' placeholders turned back, as far as they have come."""
        if restorer is None:
            return text
        text = restorer.feed(text)
        return text + restorer.close() if final or self.blocker is not None else text

    @property
    def due(self) -> float | None:
        """When some of it has been held long enough; see `Track`."""
        thought = self.reasoning.due if self.reasoning is not None else None
        said = self.text.due
        return said if thought is None else thought if said is None else min(said, thought)

    @property
    def blocker(self) -> Run | None:
        return self.text.window.blocked or (self.reasoning.window.blocked if self.reasoning is not None else None)
