"""The line of those who wait: whose turn it is, and who has to go."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.line import Line

TENANTS = st.tuples(st.sampled_from("abc"), st.sampled_from("uvw"))


def line(*tenants: str) -> Line[int]:
    """A line of tenants `key/user`, numbered in the order they came."""
    found: Line[int] = Line()
    for number, tenant in enumerate(tenants):
        key, _, user = tenant.partition("/")
        found.join((key, user), number)
    return found


def served(one: Line[int]) -> list[int]:
    turns = []
    while (found := one.next()) is not None:
        turns.append(found[1])
    return turns


def test_keys_take_turns_and_each_keeps_its_order():
    assert served(line("a", "a", "a", "b", "b", "c")) == [0, 3, 5, 1, 4, 2]


def test_the_end_users_of_a_key_take_turns_within_its_turns():
    assert served(line("a/u", "a/u", "a/v", "b/u", "b/u")) == [0, 3, 2, 4, 1]


def test_a_key_with_many_end_users_has_one_turn_in_each_round():
    found = served(line(*(f"a/{number}" for number in range(50)), "b/u"))
    assert found.index(50) == 1


def test_who_comes_back_is_behind_those_who_wait_already():
    one = line("a", "b")
    one.next()
    one.join(("a", ""), 9)
    assert served(one) == [1, 9]


def test_who_left_has_no_turn():
    one = line("a", "a", "b")
    assert one.leave(("a", ""), 0)
    assert not one.leave(("a", ""), 0)
    assert not one.leave(("z", ""), 0)
    assert served(one) == [1, 2]


def test_the_one_to_go_is_the_last_of_who_has_most():
    assert line("a", "a", "a", "b", "b").last(("b", "")) == (("a", ""), 2)
    assert line("a/u", "a/v", "a/v", "b", "b").last(("b", "")) == (("a", "v"), 2)


def test_of_equal_ones_the_newcomer_goes():
    assert line("a", "b", "b", "a").last(("a", "")) == (("a", ""), 3)
    assert line("a", "b", "b", "a").last(("b", "")) == (("b", ""), 2)
    assert line("a/u", "a/v").last(("a", "v")) == (("a", "v"), 1)


def test_nobody_goes_where_nobody_waits():
    one = line()
    assert (one.last(("a", "")), one.next(), len(one), bool(one)) == (None, None, 0, False)


def test_it_says_how_many_wait():
    assert repr(line("a", "a", "b")) == "<Line 3 of 2 keys wait>"


@given(st.lists(st.one_of(TENANTS, st.none(), st.integers(0, 40))))
def test_nobody_is_lost_or_served_twice(steps):
    one: Line[int] = Line()
    waiting: dict[int, tuple[str, str]] = {}
    for number, step in enumerate(steps):
        if step is None:
            found = one.next()
            assert (found is None) == (not waiting)
            if found is not None:
                assert waiting.pop(found[1]) == found[0]
        elif isinstance(step, int):
            assert one.leave(waiting.get(step, ("a", "u")), step) == (step in waiting)
            waiting.pop(step, None)
        else:
            one.join(step, number)
            waiting[number] = step
        assert len(one) == len(waiting)
    assert sorted(served(one)) == sorted(waiting)


@given(st.lists(TENANTS, min_size=1), st.data())
def test_nobody_is_passed_twice_by_another_key(tenants, data):
    one: Line[int] = Line()
    for number, tenant in enumerate(tenants):
        one.join(tenant, number)
    me = data.draw(TENANTS)
    one.join(me, -1)
    passed: Counter[str] = Counter()
    while (found := one.next()) is not None and found[1] != -1:
        passed[found[0][0]] += 1
        if data.draw(st.booleans()):
            one.join(found[0], len(tenants) + sum(passed.values()))  # and comes again at once
    own = passed.pop(me[0], 0)
    ahead = tenants.count(me)
    assert own <= (ahead + 1) * 3 - 1  # each of its own end users has a turn before each of mine
    assert all(turns <= own + 1 for turns in passed.values())
