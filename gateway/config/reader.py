"""Reads sections of a configuration into settings classes and keeps everything that is wrong, to be told at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.config import litellm
from gateway.config.document import scalar
from gateway.config.fields import Strict
from gateway.config.messages import describe, reads_scalar
from gateway.config.references import References, Resolved
from gateway.config.source import Path_, closest

M = TypeVar("M", bound=Strict)

Given = dict[str, tuple[Any, Path_]]
"""Values by field, each with its place in the file."""

_reads_scalar = lru_cache(maxsize=None)(reads_scalar)


@dataclass(slots=True)
class Reader:
    """One reading of one configuration. `faults` are (path, message); `unused` are the places of LiteLLM's keys that
    have no use here."""

    faults: list[tuple[Path_, str]] = field(default_factory=list)
    unused: list[Path_] = field(default_factory=list)
    references: References | None = field(default=None, repr=False)

    def fault(self, path: Path_, message: str) -> None:
        """Keep a fault for the report at the end."""
        self.faults.append((path, message))

    def mapping(self, value: Any, path: Path_) -> Mapping[str, Any]:
        """`value` as a mapping; nothing at all is an empty one, anything else is a fault."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.fault(path, "must be a mapping")
        return {}

    def sequence(self, value: Any, path: Path_) -> tuple[Any, ...]:
        """`value` as a list; nothing at all is an empty one, anything else is a fault."""
        if value is None:
            return ()
        if isinstance(value, tuple | list):
            return tuple(value)
        self.fault(path, "must be a list")
        return ()

    def known(self, section: str, value: Any, path: Path_, names: Iterable[str]) -> Given:
        """What `value` gives for `names`. LiteLLM's other keys are noted as unused; keys nobody knows are faults."""
        names = set(names)
        given: Given = {}
        for key, item in self.mapping(value, path).items():
            place = (*path, key)
            if key in names:
                given[key] = (item, place)
            elif litellm.has_no_use(section, key):
                self.unused.append(place)
            else:
                self.fault(place, f"unknown key{closest(key, names)}")
        return given

    def resolve(self, value: Any, path: Path_) -> Any:
        """`value` with its references resolved."""
        return self.references.resolve(value, path) if self.references else value

    def make(self, model: type[M], given: Given, path: Path_, done: frozenset[str] = frozenset()) -> M | None:
        """An instance of `model`, or None with the faults kept. What is null counts as left out.

        References are resolved in every field but those in `done`, which have been: no value is read as one twice.
        """
        values = {
            name: value if name in done else self._value(model, name, value, place)
            for name, (value, place) in given.items()
        }
        try:
            return model.model_validate({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            told = {place for place, _ in self.faults}
            for each in error.errors(include_url=False, include_input=False):
                place, rest = path, list(each["loc"])
                if rest:  # a fault about all of it has no place inside
                    name = rest.pop(0)
                    place = given[str(name)][1] if name in given else (*path, str(name))
                if place not in told:
                    self.fault((*place, *rest), describe(each, model))
            return None

    def _value(self, model: type[Strict], name: str, value: Any, path: Path_) -> Any:
        found = self.resolve(value, path)
        if isinstance(found, Resolved) and name in model.model_fields and _reads_scalar(model, name):
            return scalar(found)
        return found
