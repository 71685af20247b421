"""The tests' own guards keep the contract that the engine relies on."""

import pytest

from tests.guards import kit


@pytest.mark.parametrize(
    "guard", [kit.Mail(), kit.Handle(), kit.Phrase(), kit.Key(), kit.Digits()], ids=lambda g: g.name
)
def test_what_is_settled_does_not_change_whatever_follows(guard):
    for seed in range(600):
        random = kit.seeded(seed)
        whole = kit.text(random)
        final = guard.find(whole, "p")
        for end in range(len(whole) + 1):
            front = whole[:end]
            settled = guard.settled(front)
            now = [finding for finding in guard.find(front, "p") if finding.start < settled]
            assert now == [finding for finding in final if finding.start < settled], (seed, end)
            assert all(finding.end <= settled for finding in now), (seed, end)


@pytest.mark.parametrize(
    "guard", [kit.Mail(), kit.Handle(), kit.Phrase(), kit.Key(), kit.Digits()], ids=lambda g: g.name
)
def test_prose_is_settled_to_its_end(guard):
    for prose in ("The quick brown fox ", "jumps over, ", "the lazy dog.\n", ""):
        assert guard.settled(prose) == len(prose)
