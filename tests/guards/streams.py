"""What every span guard promises of a text that comes in pieces, checked the long way."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from gateway.guards.base import SpanGuard
from tests import timing

Span = tuple[str, int, int]


def spans(guard: SpanGuard, text: str) -> list[Span]:
    """What is found in `text`: rule, start, end."""
    return [(finding.rule, finding.start, finding.end) for finding in guard.find(text, "text")]


def check_settled(guard: SpanGuard, text: str, cut: int) -> None:
    """The contract of `SpanGuard.settled` for `text` cut at `cut`."""
    head = text[:cut]
    settled = guard.settled(head)
    assert 0 <= settled <= cut
    before = [span for span in spans(guard, head) if span[1] < settled]
    assert [span for span in spans(guard, text) if span[1] < settled] == before
    assert all(end <= settled for _, _, end in before)


def streamed(guard: SpanGuard, pieces: Iterable[str]) -> list[Span]:
    """What is found in a text that comes in pieces, when no more is kept of it than the guard asks for."""
    found: list[Span] = []
    buffer, base, sent = "", 0, 0
    for piece in [*pieces, None]:
        buffer += piece or ""
        settled = len(buffer) if piece is None else guard.settled(buffer)
        found += [
            (rule, base + start, base + end)
            for rule, start, end in spans(guard, buffer)
            if base + start >= sent and start < settled
        ]
        sent = max(sent, base + settled)
        keep = max(base, sent - guard.shortest_context())
        buffer, base = buffer[keep - base :], keep
    return found


def cut_at(text: str, cuts: Sequence[int]) -> list[str]:
    """`text` in pieces."""
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


def check_stream(guard: SpanGuard, text: str, cuts: Sequence[int]) -> None:
    """Cut anywhere, `text` gives the same findings as whole, each once."""
    assert sorted(streamed(guard, cut_at(text, cuts))) == sorted(spans(guard, text))


def growth(guard: SpanGuard, piece: str, bound: float) -> float:
    """How much dearer a KB becomes from 64 KB to 1 MB of `piece` repeated; measured again while it is over `bound`."""

    def look(text: str) -> None:
        guard.find(text, "text")
        guard.settled(text)

    return timing.growth(look, piece, 1 << 16, 1 << 20, bound)
