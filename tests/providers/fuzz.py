"""Values to fuzz a provider's language with, and what may come out of it."""

import json
from collections.abc import Callable

from hypothesis import strategies as st

from gateway.errors import UpstreamError

FORESEEN = (UpstreamError, KeyError, TypeError, ValueError, AttributeError)
"""What a translator may raise on bytes that are not its language; its caller maps all of them."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def objects(words: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """JSON objects, two levels deep, whose keys a provider knows and whose values it does not expect."""
    inner = st.dictionaries(st.sampled_from(words), VALUES, max_size=4)
    return st.dictionaries(st.sampled_from(words), VALUES | inner | st.lists(inner, max_size=2), max_size=4)


def dumps(value: object) -> bytes:
    """`value` as JSON, numbers of any size included."""
    return json.dumps(value).encode()


def survives(act: Callable[[], object]) -> None:
    """Run `act`; fails when another error than the foreseen ones comes out."""
    try:
        act()
    except FORESEEN:
        return


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` with up to three bytes changed."""
    changed = bytearray(body)
    for _ in range(3):
        changed[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)
