"""Of matches that overlap, those count that a search from left to right finds, wherever the row began."""

from copy import copy

import pytest

from gateway.guards.base import Finding
from gateway.guards.pii.defaults import REGIONS
from gateway.guards.pii.guard import EntityConfig, PiiConfig, PiiGuard, build
from gateway.guards.pii.phone import Looks, begun, candidate, goes_on, possible, regions
from gateway.guards.pii.plain import plain
from gateway.guards.pii.recognizers import Undoubled
from gateway.guards.pii.trail import KEPT, Trail


def guard(*entities: str) -> PiiGuard:
    made = build(PiiConfig(entities={name: EntityConfig(action="mask") for name in entities}))
    assert isinstance(made, PiiGuard)
    return made


CARDS = guard("CREDIT_CARD")


def pieces(one: PiiGuard, text: str, size: int) -> list[tuple[int, int]]:
    """Where something is found in `text`, in pieces of `size`, each told once."""
    reading = one.reading()
    since, found = 0, list[Finding]()
    for at in range(0, len(text), size):
        known, settled = reading.more(text[at : at + size], "p", since, closing=False)
        found += (hit for hit in known if hit.start < settled)
        since = settled
    found += reading.more("", "p", since, closing=True)[0]
    return [(hit.start, hit.end) for hit in found]


def test_in_a_row_of_groups_every_fourth_begins_a_card_number() -> None:
    text = "4111 1111 1111 1111 " * 40
    spans = [(start, start + 19) for start in range(0, 800, 20)]
    assert [(hit.start, hit.end) for hit in CARDS.find(text, "p")] == spans
    assert all(pieces(CARDS, text, size) == spans for size in (1, 7, 20, 33, 500))


def test_one_more_group_at_the_beginning_moves_every_number_of_the_row() -> None:
    text = "4242 " + "4111 1111 1111 1111 " * 40
    spans = [(hit.start, hit.end) for hit in CARDS.find(text, "p")]
    assert all(start % 20 == 0 for start, _ in spans)
    assert all(pieces(CARDS, text, size) == spans for size in (1, 7, 20, 33, 500))


def test_a_row_of_addresses_is_cut_where_presidio_cuts_it() -> None:
    text = "a@b.co@c.de@d.fr+" * 30
    found = [(hit.start, hit.end) for hit in guard("EMAIL_ADDRESS").find(text, "p")]
    assert found[:3] == [(0, 6), (7, 16), (16, 23)]
    assert all(pieces(guard("EMAIL_ADDRESS"), text, size) == found for size in (1, 5, 64, 200))


@pytest.mark.parametrize("row", ["4111 ", "9", "1.", "212-555-0142 ", "a@b.co+", '"a.co"', "AB12 ", "1 "])
def test_what_is_remembered_of_a_row_does_not_grow_with_it(row: str) -> None:
    reading = guard("CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "URL", "IBAN_CODE", "IP_ADDRESS").reading()
    since = 0
    for _ in range(200):
        since = reading.more(row * 20, "p", since, closing=False)[1]
    kept = reading._reading._written.trail.text
    assert len(kept) < 1_600


def test_what_two_looks_keep_is_what_one_keeps() -> None:
    hits = [(0, 9, 0.5), (0, 5, 0.5), (3, 8, 0.9), (4, 9, 0.4), (9, 12, 0.5), (10, 12, 0.5)]
    for at in range(len(hits)):
        two = Undoubled()
        assert two.of(hits[:at]) + copy(two).of(hits[at:]) == [(0, 9, 0.5), (3, 8, 0.9), (9, 12, 0.5)]


def test_places_are_found_again_in_the_text_as_it_is_written() -> None:
    trail = Trail()
    for part in ("ab", "c\u200b\u200bd", "\u200b", "e"):
        if (seen := plain(part)) is None:
            trail.add(part)
        else:
            trail.add_seen(seen)
    assert trail.text == "abcde"
    assert [trail.written(place) for place in range(6)] == [0, 1, 2, 3, 6, 8]
    assert trail.span(2, 4) == (2, 6)
    assert trail.span(3, 4) == (3, 6)


def test_a_trail_forgets_what_is_far_behind_and_keeps_its_places() -> None:
    trail = Trail()
    trail.add("x" * 1_000 + "y")
    trail.trim(trail.size - KEPT, trail.size)
    assert (trail.base, trail.size, trail.text[-1]) == (1_001 - KEPT, 1_001, "y")
    assert trail.written(1_000) == 1_000


ALL = regions(REGIONS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call (212) 555-0142 now", "(212) 555-0142"),
        ("1 " * 30, ("1 " * 21)[:-1]),
        ("5" * 500, "5" * 420),
        ("650-253-0000 /x 5", "650-253-0000 "),
        ("((((( no", None),
        ("650 253 0000" + " " * 8 + "ext 5", "650 253 0000" + " " * 8 + "ext 5"),
        ("650 253 0000" + " " * 9 + "ext 5", "650 253 0000"),
    ],
)
def test_a_candidate_is_what_the_matcher_takes_for_one(text: str, found: str | None) -> None:
    span = candidate(text, 0)
    assert (text[slice(*span)] if span else None) == found


@pytest.mark.parametrize(
    "text", ["212 555 0142", "212 555 0142 ", "212 555 0142 e", "2024-01-15 10:", "2024-01-15 10:3"]
)
def test_a_candidate_may_go_on_at_the_end_of_a_text(text: str) -> None:
    span = candidate(text, 0)
    assert span
    assert goes_on(text, span[1])[0]


@pytest.mark.parametrize("text", ["212 555 0142,b", "212 555 0142 or", "2024-01-15 10:30", "1 " * 22])
def test_a_candidate_is_over_when_nothing_can_make_it_longer(text: str) -> None:
    span = candidate(text, 0)
    assert span
    assert not goes_on(text, span[1])[0]


def test_a_candidate_that_holds_no_number_is_asked_of_no_region() -> None:
    assert possible("2024", ALL, ALL.every) == ()
    assert [one.code for one in possible("212-555-0142", ALL, ALL.every)][:1] == ["US"]
    assert possible("+49 30 1", ALL, ALL.every) == ALL.every  # of any country


def test_what_has_too_many_digits_to_be_a_number_is_let_go_before_its_end() -> None:
    text = "1 1234567 " * 9
    assert begun(text, 0, len(text) - 1, Looks(), ALL.every) > 0
    text = "1 2125550142 " * 9
    assert begun(text, 0, len(text) - 1, Looks(), ALL.every) == 2
