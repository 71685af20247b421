"""The verdict cache: bounded, keyed, and without a text in it."""

import gc

from gateway.guards.base import Finding
from gateway.guards.cache import VerdictCache

HERE = Finding("g", "R", "c", "mask", "prompt[0]", 1, 3)


def key(cache, text, policy="p", version=1, stage="input"):
    return (policy, version, stage, -1, cache.digest(text))


def test_what_was_found_is_found_again_at_its_new_place():
    cache = VerdictCache()
    cache.put(key(cache, "text"), [HERE])
    (found,) = cache.get(key(cache, "text"), "prompt[7]")
    assert (found.path, found.start, found.end) == ("prompt[7]", 1, 3)
    assert cache.get(key(cache, "text"), "prompt[0]") == [HERE]


def test_another_text_policy_version_or_stage_is_another_entry():
    cache = VerdictCache()
    cache.put(key(cache, "text"), [])
    assert cache.get(key(cache, "text"), "p") == []
    for other in (
        key(cache, "texts"),
        key(cache, "text", policy="q"),
        key(cache, "text", version=2),
        key(cache, "text", stage="output"),
    ):
        assert cache.get(other, "p") is None


def test_two_caches_hash_the_same_text_differently():
    assert VerdictCache().digest("text") != VerdictCache().digest("text")


def test_the_longest_unused_goes_first():
    cache = VerdictCache(3)
    for text in "abc":
        cache.put(key(cache, text), [])
    cache.get(key(cache, "a"), "p")
    cache.put(key(cache, "d"), [])
    assert [cache.get(key(cache, text), "p") for text in "abcd"] == [[], None, [], []]


def test_findings_weigh_as_much_as_entries():
    cache = VerdictCache(10)
    cache.put(key(cache, "small"), [])
    cache.put(key(cache, "large"), [HERE] * 20)
    assert (len(cache), cache.get(key(cache, "large"), "p")) == (1, None)
    cache.put(key(cache, "medium"), [HERE] * 9)
    assert len(cache) == 1
    cache.put(key(cache, "medium"), [])
    cache.put(key(cache, "small"), [HERE] * 8)
    assert len(cache) == 2


def test_it_holds_no_text():
    cache = VerdictCache()
    cache.put(key(cache, "a telling text"), [HERE])

    def reachable(thing, seen):
        if id(thing) not in seen:
            seen[id(thing)] = thing
            for other in gc.get_referents(thing):
                if not isinstance(other, type):
                    reachable(other, seen)
        return seen.values()

    assert not any(isinstance(thing, str) and "telling" in thing for thing in reachable(cache._entries, {}))
    assert "1 entries" in repr(cache)
