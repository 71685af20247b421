"""A section read into its settings: every fault at its place, those about all of it at its own."""

import pytest
from pydantic import Field, model_validator

from gateway.config.fields import Strict
from gateway.config.reader import Reader


class Window(Strict):
    """Settings with a rule between two of them."""

    opens: int = Field(0, ge=0)
    closes: int = 24

    @model_validator(mode="after")
    def _ordered(self) -> "Window":
        if self.opens >= self.closes:
            raise ValueError("must open before it closes")
        return self


class House(Strict):
    """Settings with such settings inside."""

    window: Window = Window()


def faults(model: type[Strict], values: dict[str, object], path: tuple[str, ...]) -> list[object]:
    reader = Reader()
    given = {name: (value, (*path, name)) for name, value in values.items()}
    assert reader.make(model, given, path) is None
    return reader.faults


@pytest.mark.parametrize("path", [(), ("window",)])
def test_a_fault_about_all_of_a_section_stands_at_the_section(path: tuple[str, ...]) -> None:
    assert faults(Window, {"opens": 9, "closes": 8}, path) == [(path, "must open before it closes")]


def test_a_fault_about_all_of_a_part_stands_at_the_part() -> None:
    told = faults(House, {"window": {"opens": 9, "closes": 8}}, ("house",))
    assert told == [(("house", "window"), "must open before it closes")]


def test_a_fault_of_one_setting_stands_at_that_setting() -> None:
    assert faults(Window, {"opens": -1}, ("window",)) == [(("window", "opens"), "must be at least 0")]


def test_what_fits_has_no_fault() -> None:
    reader = Reader()
    assert reader.make(Window, {"opens": (9, ("opens",))}, ()) == Window(opens=9)
    assert not reader.faults
