"""The gates: never more than so many, everybody in turn, and no place lost, whoever leaves whenever."""

import asyncio
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Unavailable, UpstreamTimeout
from gateway.routing.gate import LONGEST_HINT, Gate, Patience, Slot

LONG = Patience(1000, 600.0)


async def turns(count: int = 3) -> None:
    """Let everybody do what they can do now."""
    for _ in range(count):
        await asyncio.sleep(0)


class Crowd:
    """Clients of one gate, each of whom stays inside until it is let go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.entered: list[str] = []
        self.failed: dict[str, BaseException] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._doors: dict[str, asyncio.Event] = {}

    async def come(self, name: str, key: str = "", left: float | None = None) -> None:
        self._doors[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, key, left))
        await turns()

    async def _stay(self, name: str, key: str, left: float | None) -> None:
        try:
            async with self.gate.slot((key, ""), left):
                self.entered.append(name)
                await self._doors[name].wait()
        except GatewayError as error:
            self.failed[name] = error

    async def go(self, name: str) -> None:
        self._doors[name].set()
        await turns()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await turns()
        assert (self.gate.running, self.gate.waiting) == (0, 0)


def crowd(test, most=1, patience=LONG):
    """Run a test with a crowd at a gate; at its end, every place has been given back."""

    async def run():
        found = Crowd(Gate("it", most, patience))
        try:
            await test(found)
        finally:
            await found.end()

    asyncio.run(run())


def test_so_many_are_let_in_and_the_others_in_their_turn():
    async def test(them):
        for name in "abcd":
            await them.come(name)
        assert them.entered == ["a", "b"]
        await them.go("b")
        assert them.entered == ["a", "b", "c"]
        await them.go("a")
        assert them.entered == ["a", "b", "c", "d"]

    crowd(test, most=2)


def test_a_burst_of_one_key_keeps_no_other_waiting():
    async def test(them):
        for number in range(20):
            await them.come(f"a{number}", "a")
        await them.come("b", "b")
        await them.go("a0")
        await them.go("a1")
        assert them.entered == ["a0", "a1", "b"]

    crowd(test)


def test_a_burst_of_one_key_keeps_no_other_out_of_a_full_line():
    async def test(them):
        for number in range(4):
            await them.come(f"a{number}", "a")
        assert not them.failed
        await them.come("b", "b")
        assert list(them.failed) == ["a3"]
        await them.come("a4", "a")
        assert list(them.failed) == ["a3", "a4"]
        await them.go("a0")
        await them.go("a1")
        assert them.entered == ["a0", "a1", "b"]

    crowd(test, patience=Patience(3, 600.0))


def test_a_full_line_is_an_error_that_says_when_to_come_again():
    async def test(them):
        them.gate._held = 8.0  # how long a place was held, on the average
        for name in "abc":
            await them.come(name)
        error = them.failed["c"]
        assert isinstance(error, Unavailable)
        assert (error.status, error.code, error.headers) == (503, "overloaded", {"retry-after": "16"})
        assert "16 seconds" in error.message

    crowd(test, patience=Patience(1, 600.0))


def test_nobody_waits_where_the_line_has_no_room_at_all():
    async def test(them):
        await them.come("a")
        await them.come("b")
        assert list(them.failed) == ["b"]

    crowd(test, patience=Patience(0, 600.0))


def test_a_wait_that_takes_too_long_ends():
    async def test(them):
        await them.come("a")
        await them.come("b")
        await asyncio.wait((them.tasks["b"],))
        error = them.failed["b"]
        assert (error.status, error.code) == (503, "overloaded")
        assert int(error.headers["retry-after"]) >= 1
        assert them.gate.waiting == 0

    crowd(test, patience=Patience(10, 0.001))


def test_a_client_that_waits_no_longer_gets_its_own_error():
    async def test(them):
        await them.come("a")
        await them.come("b", left=0.001)
        await asyncio.wait((them.tasks["b"],))
        error = them.failed["b"]
        assert isinstance(error, UpstreamTimeout)
        assert (error.status, error.type, error.which) == (504, "timeout_error", "total")

    crowd(test)


def test_who_leaves_is_out_of_the_line_at_once():
    async def test(them):
        for name in "abc":
            await them.come(name)
        them.tasks["b"].cancel()
        await turns()
        assert them.gate.waiting == 1
        await them.go("a")
        assert them.entered == ["a", "c"]

    crowd(test)


def test_who_leaves_in_the_moment_of_being_let_in_gives_the_place_on():
    async def test(them):
        for name in "abc":
            await them.come(name)
        them._doors["a"].set()
        while them.gate.waiting == 2:  # noqa: ASYNC110 - turn by turn, to stop in between
            await asyncio.sleep(0)
        them.tasks["b"].cancel()  # it has been let in, and does not know yet
        await turns(6)
        assert them.entered == ["a", "c"]

    crowd(test)


def test_who_fails_inside_gives_the_place_back():
    async def run():
        gate = Gate("it", 1, LONG)
        with pytest.raises(ZeroDivisionError):
            async with gate.slot():
                raise ZeroDivisionError
        assert gate.running == 0

    asyncio.run(run())


def test_a_place_is_given_back_once():
    async def run():
        gate = Gate("it", 1, LONG)
        slot = gate.slot()
        await slot.enter()
        slot.leave()
        slot.leave()
        assert gate.running == 0

    asyncio.run(run())


def test_more_room_lets_in_those_who_wait():
    async def test(them):
        for name in "abc":
            await them.come(name)
        them.gate.change(2, LONG)
        await turns()
        assert them.entered == ["a", "b"]
        them.gate.change(None, LONG)
        await turns()
        assert them.entered == ["a", "b", "c"]
        them.gate.change(1, LONG)
        await them.come("d")
        await them.go("a")
        await them.go("b")
        assert "d" not in them.entered
        await them.go("c")
        assert them.entered[-1] == "d"

    crowd(test)


def test_the_hint_is_how_long_the_line_takes():
    gate = Gate("it", 4, Patience(10, 7.0))
    assert gate.hint() == 2  # nobody knows yet how long: a quarter of the patience, for four leave meanwhile
    gate.running = 1
    gate.give_back(20.0)
    assert gate.hint() == 5
    gate.running = 1
    gate.give_back(10_000.0)
    assert 5 < gate.hint() <= LONGEST_HINT
    gate._held = 1e9
    assert gate.hint() == LONGEST_HINT
    gate._held = 1e-9
    assert gate.hint() == 1


def test_it_says_how_full_it_is():
    gate = Gate("it", 4)
    assert gate.take()
    assert repr(gate) == "<Gate it 1 of 4 under way, 0 wait>"
    assert repr(Gate("it")) == "<Gate it no bound, 0 wait>"


def test_threads_with_loops_of_their_own_share_one_bound():
    gate = Gate("it", 3, Patience(1000, 600.0))
    guard, inside, most = threading.Lock(), 0, 0

    async def one(rng: random.Random):
        nonlocal inside, most
        for _ in range(20):
            async with gate.slot((str(rng.randrange(3)), "")):
                with guard:
                    inside += 1
                    most = max(most, inside)
                for _ in range(rng.randrange(3)):
                    await asyncio.sleep(0)
                with guard:
                    inside -= 1

    async def many(seed: int):
        await asyncio.gather(*(one(random.Random(seed * 100 + number)) for number in range(8)))  # noqa: S311

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(many(seed))) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    assert (gate.running, gate.waiting) == (0, 0)


def test_one_whose_event_loop_has_ended_is_passed_over():
    gate = Gate("it", 1, LONG)
    assert gate.take()
    loop = asyncio.new_event_loop()
    waiter = loop.create_task(gate.slot(("a", "")).enter())
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert gate.waiting == 1
    waiter._log_destroy_pending = False  # it is the point of this test
    loop.close()

    async def run():
        entered = asyncio.create_task(gate.slot(("b", "")).enter())
        await turns()
        gate.give_back()
        assert await entered is gate

    asyncio.run(run())
    assert (gate.running, gate.waiting) == (1, 0)


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 2**32))
def test_never_more_than_the_bound_and_no_place_lost_under_random_leaving(most, queue, seed):
    rng = random.Random(seed)  # noqa: S311

    async def run():
        gate = Gate("it", most, Patience(queue, 600.0))
        inside = served = 0

        async def one(key: str, stay: int):
            nonlocal inside, served
            try:
                async with gate.slot((key, ""), rng.choice([None, None, 600.0, 0.0])):
                    inside += 1
                    assert inside <= most
                    served += 1
                    try:
                        for _ in range(stay):
                            await asyncio.sleep(0)
                    finally:
                        inside -= 1
            except (Unavailable, UpstreamTimeout):
                pass

        tasks = []
        for _ in range(40):
            tasks.append(asyncio.create_task(one(rng.choice("abc"), rng.randrange(4))))
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            if rng.random() < 0.4:
                rng.choice(tasks).cancel()
            if rng.random() < 0.1:
                gate.change(most, Patience(queue, 600.0))
            assert gate.running <= most
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError | None) for result in results)
        await turns()
        assert (gate.running, gate.waiting) == (0, 0)
        assert served
        assert gate.take()

    asyncio.run(run())


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_who_waits_at_several_gates_is_let_in_by_one(seed):
    rng = random.Random(seed)  # noqa: S311

    async def run():
        lock = threading.Lock()
        gates = [Gate(name, 1, LONG, lock) for name in "xyz"]

        async def one(stay: int):
            chosen = rng.sample(gates, rng.randint(1, 3))
            async with Slot(chosen, ("", ""), None) as entered:
                assert entered in chosen
                assert all(gate.running <= 1 for gate in gates)
                for _ in range(stay):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(rng.randrange(4))) for _ in range(20)]
        for _ in range(5):
            await asyncio.sleep(0)
            rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()
        assert [(gate.running, gate.waiting) for gate in gates] == [(0, 0)] * 3

    asyncio.run(run())
