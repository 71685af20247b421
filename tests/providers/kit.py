"""What the tests of every provider's language share: golden bytes, every cut of a stream, and answers summed up."""

from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.providers.base import StreamDecoder
from gateway.types import Call, Delta, FinishReason, Message, TokenLogprob, Usage

GOLDEN = Path(__file__).parent.parent / "golden"


def golden(name: str) -> bytes:
    """Bytes as a provider's documentation shows them, from `tests/golden/`."""
    return (GOLDEN / name).read_bytes()


def call(prompt: str = "Say this is a test", **fields: object) -> Call:
    """A call for one prompt, as the translation makes it for a chat language."""
    return Call(messages=(Message("user", prompt),), prompt=prompt, **fields)  # type: ignore[arg-type]


def text(deltas: Iterable[Delta], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


def reasoning(deltas: Iterable[Delta], index: int = 0) -> str:
    return "".join(delta.reasoning for delta in deltas if delta.index == index)


def finish_reasons(deltas: Iterable[Delta]) -> dict[int, FinishReason]:
    """The finish reason of each choice; fails when a choice has more than one."""
    found: dict[int, FinishReason] = {}
    for delta in deltas:
        if delta.finish_reason:
            assert delta.index not in found, f"choice {delta.index} finished twice"
            found[delta.index] = delta.finish_reason
    return found


def usage(deltas: Iterable[Delta]) -> Usage | None:
    """The one usage of a call; fails when there is more than one."""
    found = [delta.usage for delta in deltas if delta.usage]
    assert len(found) <= 1, "usage came twice"
    return found[0] if found else None


def logprobs(deltas: Iterable[Delta], index: int = 0) -> tuple[TokenLogprob, ...]:
    return tuple(token for delta in deltas if delta.index == index for token in delta.logprobs or ())


def decode(decoder: StreamDecoder, pieces: Iterable[bytes]) -> list[Delta]:
    """Everything a decoder gives for a body that arrives in `pieces`."""
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    return deltas + decoder.close()


def same_at_every_cut(make: Callable[[], StreamDecoder], body: bytes) -> list[Delta]:
    """The deltas of `body`, after checking that every cut in two, and byte by byte, gives the same ones."""
    whole = decode(make(), [body])
    for cut in range(1, len(body)):
        assert decode(make(), [body[:cut], body[cut:]]) == whole, f"cut at byte {cut}"
    assert decode(make(), [body[i : i + 1] for i in range(len(body))]) == whole
    return whole
