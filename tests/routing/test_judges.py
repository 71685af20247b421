"""Models that judge are called as any other: by the same route, with the same failover, and told of apart."""

import asyncio
from collections.abc import Mapping
from random import Random

import pytest

from gateway.config.load import from_mapping
from gateway.errors import GatewayError, ModelNotFound
from gateway.guards.ports import Pool
from gateway.routing import guarding
from gateway.routing.board import Book
from gateway.routing.call import Caller
from gateway.routing.deployments import Catalogue
from gateway.routing.router import Router
from tests.routing.fleet import Body, Fleet, group, refuses, says
from tests.routing.test_call import at_once

Notes = list[tuple[str, Mapping[str, object]]]


def judged(fleet: Fleet, config: Body, model: str = "m") -> tuple[str | GatewayError, Notes]:
    found = from_mapping(config)
    router = Router(Catalogue(found.settings, found.source), found.settings, Book(), rng=Random(1))  # noqa: S311
    notes: Notes = []
    pool = Pool()
    caller = Caller(router, fleet, sleep=at_once)  # type: ignore[arg-type]
    ports = guarding.ports(caller, pool, lambda event, told: notes.append((event, told)))
    assert ports.ask is not None
    try:
        return asyncio.run(ports.ask(model, "Is this well?")), notes  # type: ignore[arg-type]
    except GatewayError as error:
        return error, notes
    finally:
        pool.close()


def test_a_judge_that_fails_is_made_good_by_another_deployment():
    fleet = Fleet(a=refuses(500), b=says("yes"))
    found, notes = judged(fleet, group("a", "b"))
    assert (found, fleet.called) == ("yes", ["a", "b"])
    assert notes == [
        (
            "judge_usage",
            {"gateway.model": "m", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 1},
        )
    ]


def test_a_judge_is_asked_for_one_short_answer_whatever_the_operator_fills_in_for_clients():
    config = group("a")
    config["model_list"][0]["litellm_params"] |= {"n": 3, "stop": "yes", "temperature": 1.0, "max_tokens": 1}
    fleet = Fleet(a=says("yes"))
    assert judged(fleet, config)[0] == "yes"
    ((_, asked),) = fleet.calls
    assert (asked["max_tokens"], asked["temperature"]) == (512, 0)
    assert "stop" not in asked
    assert asked.get("n", 1) == 1


def test_what_cannot_be_made_good_is_the_guards_failure():
    found, _ = judged(Fleet(a=refuses(400)), group("a"))
    assert isinstance(found, GatewayError)
    with pytest.raises(ModelNotFound):
        raise judged(Fleet(), group("a"), "nobody")[0]  # type: ignore[misc]
