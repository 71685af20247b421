"""What an operator is told of a value that does not fit: the form that is wanted, and never the value."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from gateway.config.fields import Strict
from gateway.config.messages import FORMS, describe
from gateway.config.model import Settings
from gateway.errors import ConfigError
from gateway.guards.document import Policy
from gateway.guards.load import loads
from gateway.guards.registry import GUARDS


def patterns(schema: Any) -> Iterator[str]:
    """Every pattern that a text has to fit, anywhere in a core schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from patterns(value)


@pytest.mark.parametrize(
    "model", [Settings, Policy, *(row.config for row in GUARDS.values())], ids=lambda m: m.__name__
)
def test_every_pattern_of_a_setting_is_told_in_words(model: type[Strict]) -> None:
    assert set(patterns(model.__pydantic_core_schema__)) <= set(FORMS)


def test_all_forms_are_in_use() -> None:
    models = [Settings, *(row.config for row in GUARDS.values())]
    assert set(FORMS) == {pattern for model in models for pattern in patterns(model.__pydantic_core_schema__)}


@pytest.mark.parametrize(
    ("guard", "fault"),
    [
        (
            "{pii: {custom: [{name: staff-id, regex: 'E[0-9]{6}'}]}}",
            "guards[0].pii.custom[0].name: must be at most 64 capital letters, digits and _, a letter first, such as "
            "EMPLOYEE_ID",
        ),
        (
            "{pii: {entities: {PHONE_NUMBER: {action: mask, regions: [usa]}}}}",
            "guards[0].pii.entities.PHONE_NUMBER.regions[0]: must be a country as two capital letters, such as US",
        ),
        (
            "{pii: {entities: {PHONE_NUMBER: {action: mask, regions: []}}}}",
            "guards[0].pii.entities.PHONE_NUMBER.regions: must be a list of one or more",
        ),
    ],
)
def test_a_policy_is_told_which_form_a_value_must_have(guard: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"policy: p\nversion: 1\nguards: [{guard}]\n", "p.yaml", environ={})
    assert list(caught.value.faults) == [f"p.yaml:3: {fault}"]


class Bounded(Strict):
    """Settings as a package of somebody else may have them."""

    code: str = Field("a1", pattern="^[a-z][0-9]$")
    pair: tuple[int, ...] = Field((), max_length=2)
    few: tuple[int, ...] = Field((1, 2), min_length=2)
    share: Annotated[float, Field(lt=1)] = 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"code": "zz"}, "must fit the pattern ^[a-z][0-9]$"),
        ({"pair": (1, 2, 3)}, "must be a list of at most 2"),
        ({"few": (1,)}, "must be a list of 2 or more"),
        ({"share": 1.0}, "must be less than 1"),
    ],
)
def test_a_bound_nobody_here_uses_is_told_too(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Bounded.model_validate(given)
    (error,) = caught.value.errors(include_input=False)
    assert describe(error, Bounded) == message
