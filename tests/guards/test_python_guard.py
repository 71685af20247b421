"""A function of the operator's as a guard: where it runs, and that nonsense from it is an error."""

import asyncio
import sys
import threading
from types import ModuleType

import pytest

from gateway.errors import ConfigError
from gateway.guards import python
from gateway.guards.base import Context, Finding, Text
from gateway.guards.load import build, loads
from gateway.guards.ports import GuardFailed, Pool, Ports
from tests.routing.servers import looped

TEXTS = (Text("prompt[0]", "I like ponies"),)
CONTEXT = Context("input", "gpt-4")


@pytest.fixture
def module(monkeypatch):
    """An operator's module, `ponies`."""
    made = ModuleType("ponies")
    monkeypatch.setitem(sys.modules, "ponies", made)
    return made


@pytest.fixture
def pool():
    made = Pool(threads=1, waiting=1)
    yield made
    made.close()


def guard(pool, place="ponies:f", action="block"):
    return python.build(python.PythonConfig(function=place, action=action), Ports(pool=pool))


def test_a_function_that_blocks_runs_in_a_thread_of_the_pool_with_texts_and_context(module, pool):
    seen = []

    def f(texts, context):
        seen.append((texts, context, threading.current_thread().name))
        return [{"rule": "pony", "path": "prompt[0]", "start": 7, "end": 13}]

    module.f = f
    assert asyncio.run(guard(pool).check(list(TEXTS), CONTEXT)) == [
        Finding("python", "pony", "custom", "block", "prompt[0]", 7, 13, 1.0)
    ]
    ((texts, context, thread),) = seen
    assert (texts, context) == (TEXTS, CONTEXT)
    assert thread.startswith("guard")


def test_an_async_function_or_object_runs_on_the_event_loop(module):
    class Ponies:
        async def __call__(self, texts, context):
            return [Finding("mine", "pony", "topics", "flag", "prompt[0]", 0, 0, 0.5)]

    async def f(texts, context):
        assert threading.current_thread() is threading.main_thread()
        return ()

    module.f, module.g = f, Ponies()
    assert asyncio.run(guard(None).check(TEXTS, CONTEXT)) == []
    assert asyncio.run(guard(None, "ponies:g").check(TEXTS, CONTEXT)) == [
        Finding("python", "pony", "topics", "flag", "prompt[0]", 0, 0, 0.5)
    ]


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        True,
        "pony",
        {"rule": "pony", "path": "prompt[0]"},
        [None],
        ["pony"],
        [{"rule": "pony"}],
        [{"rule": "I like ponies", "path": "prompt[0]"}],
        [{"rule": "pony", "path": "prompt[1]"}],
        [{"rule": "pony", "path": "prompt[0]", "start": 7, "end": 99}],
        [{"rule": "pony", "path": "prompt[0]", "start": True, "end": 9}],
        [{"rule": "pony", "path": "prompt[0]", "score": float("nan")}],
        [{"rule": "pony", "path": "prompt[0]", "why": "ponies"}],
        [Finding("mine", "pony", "topics", "shout", "prompt[0]", 0, 0)],
        [Finding("mine", "pony", "topics", "flag", "prompt[0]", 9, 2)],
        iter([]),
    ],
)
def test_nonsense_is_an_error_that_quotes_nothing(module, pool, nonsense):
    module.f = lambda texts, context: nonsense
    with pytest.raises(GuardFailed) as caught:
        asyncio.run(guard(pool).check(TEXTS, CONTEXT))
    assert "ponies" not in str(caught.value)


def test_a_plain_function_that_returns_a_coroutine_is_an_error(module, pool):
    async def g():
        return []

    module.f = lambda texts, context: g()
    with pytest.raises(GuardFailed, match="must report a list"):
        asyncio.run(guard(pool).check(TEXTS, CONTEXT))


def test_what_a_function_raises_is_raised(module, pool):
    def f(texts, context):
        raise ZeroDivisionError

    module.f = f
    with pytest.raises(ZeroDivisionError):
        asyncio.run(guard(pool).check(TEXTS, CONTEXT))


@looped
async def test_functions_that_hang_fill_the_pool_and_no_more():
    release, made = threading.Event(), Pool(threads=1, waiting=1)
    try:
        hanging = [asyncio.ensure_future(made.run(release.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(GuardFailed, match="full"):
            await made.run(release.wait)
        # Given up by its caller, the one that runs still has its thread; the one that waits has left.
        for each in hanging:
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert repr(made) == "<Pool 1 taken, 1 threads, 1 may wait>"
        release.set()
        assert await made.run(lambda: 5) == 5
    finally:
        release.set()
        made.close()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("ponies", "must be module:function"),
        ("ponies:", "must be module:function"),
        ("ponies:f()", "must be module:function"),
        ("../ponies:f", "must be module:function"),
        ("ponies:g", "the module ponies has no g"),
        ("ponies:N", "ponies:N cannot be called"),
        ("no_ponies_at_all:f", r"cannot be imported \(ModuleNotFoundError\)"),
    ],
)
def test_a_place_without_a_function_is_a_fault_of_the_document(module, pool, place, message):
    module.N = 5
    with pytest.raises(ConfigError, match=message):
        build(loads(f"policy: p\nversion: 1\nguards: [{{python: {{function: '{place}'}}}}]"), Ports(pool=pool))


def test_a_function_inside_a_class_can_be_named(module, pool):
    class Rules:
        @staticmethod
        def f(texts, context):
            return []

    module.Rules = Rules
    assert asyncio.run(guard(pool, "ponies:Rules.f").check(TEXTS, CONTEXT)) == []


def test_a_function_that_blocks_is_a_fault_where_there_is_no_pool(module):
    module.f = lambda texts, context: []
    with pytest.raises(ValueError, match="needs a pool of threads"):
        guard(None)
