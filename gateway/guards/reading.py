"""What a policy document says, read part by part: its guards by their settings, its condition compiled, its tests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from gateway.config.fields import Strict
from gateway.config.messages import describe
from gateway.config.reader import Given, Reader
from gateway.config.secret import Secret
from gateway.config.source import Path_, closest
from gateway.guards import conditions, registry
from gateway.guards.conditions import Condition
from gateway.guards.document import GuardEntry, GuardStages, Policy

SECTION = "policy"
_FORM = ("placeholder", "restore")
"""Settings that guards of one name share within a policy: a verdict knows a guard by its name."""
_STAGES = "stages"
"""A setting that every guard has, but for those of other packages that mean something of their own by it."""
_CHANGING = ("hash", "mask", "redact")


def policy(reader: Reader, value: Any) -> tuple[Policy | None, Condition | None]:
    """The policy in a document and its condition, compiled; None with the faults kept by `reader`."""
    if not _is_mapping(reader, value, ()):
        return None, None
    given = reader.known(SECTION, value, (), Policy.model_fields)
    entries = _guards(reader, *given.get("guards", (None, ("guards",)))) if "guards" in given else ()
    if "guards" in given:
        given["guards"] = (entries, ("guards",))
    made = reader.make(Policy, given, (), frozenset(Policy.model_fields))
    condition = _condition(reader, given)
    if made:
        for at, said in _cross(made):
            reader.fault(at, said)
    return made, condition


def _is_mapping(reader: Reader, value: Any, path: Path_) -> bool:
    """Is `value` a mapping, or nothing at all? Nothing in it is asked for when it is neither."""
    if value is None or isinstance(value, Mapping):
        return True
    reader.fault(path, "must be a mapping")
    return False


def _condition(reader: Reader, given: Given) -> Condition | None:
    source, path = given.get("when", (None, ()))
    if not isinstance(source, str) or not source:
        return None
    try:
        return conditions.compiled(source)
    except conditions.ConditionFault as error:
        reader.fault(path, str(error))
        return None


def _guards(reader: Reader, value: Any, path: Path_) -> tuple[GuardEntry, ...]:
    entries = []
    for index, item in enumerate(reader.sequence(value, path)):
        place = (*path, index)
        if not isinstance(item, Mapping) or len(item) != 1:
            reader.fault(place, "must be a mapping with one key, the guard's name")
            continue
        ((name, config),) = item.items()
        if entry := _guard(reader, name, config, (*place, name)):
            entries.append(entry)
    if not entries and not reader.faults:
        reader.fault(path, "must name at least one guard")
    return tuple(entries)


def _guard(reader: Reader, name: str, value: Any, path: Path_) -> GuardEntry | None:
    try:
        row = registry.find(name)
    except ValueError as error:
        reader.fault(path, str(error))
        return None
    if row is None:
        known = registry.names()
        hint = closest(name, known) or f"; there are {', '.join(known)}"
        reader.fault(path, f"no guard has this name{hint}")
        return None
    if not _is_mapping(reader, value, path):
        return None
    given = reader.known(SECTION, value, path, {*row.config.model_fields, _STAGES})
    shared = {} if _STAGES in row.config.model_fields else {_STAGES: given.pop(_STAGES, (None, path))}
    narrowed = reader.make(GuardStages, shared, path)
    config = _config(reader, row.config, given, path)
    return GuardEntry(name=name, config=config, stages=narrowed.stages) if config and narrowed else None


def _config(reader: Reader, model: type[Strict], given: Given, path: Path_) -> Strict | None:
    """A guard's settings. Unlike `Reader.make` this takes faults about all of them, which have no place inside."""
    hidden = _secrets(model)
    values = {name: reader.resolve(value, at) if name in hidden else value for name, (value, at) in given.items()}
    try:
        return model.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        told = {at for at, _ in reader.faults}
        for each in error.errors(include_url=False, include_input=False):
            at = (*path, *each["loc"])
            if at not in told:
                reader.fault(at, describe(each, model))
        return None


def _secrets(model: type[Strict]) -> frozenset[str]:
    """The fields in which references are resolved: a text that looks like one anywhere else is only a text."""
    return frozenset(name for name, field in model.model_fields.items() if _takes_secret(field.annotation))


def _takes_secret(annotation: Any) -> bool:
    return annotation is Secret or any(map(_takes_secret, get_args(annotation)))


def _cross(policy: Policy) -> Iterable[tuple[Path_, str]]:
    """What is wrong between parts that are each right."""
    yield from _cross_stages(policy)
    rows = [row for entry in policy.guards if (row := registry.find(entry.name))]
    if policy.parallel and all(row.kind in registry.AT_ONCE for row in rows):
        yield ("parallel",), "has no effect: all guards of this policy judge at once"
    elif policy.parallel and "input" not in policy.stages:
        yield ("parallel",), "has no effect: this policy does not look at the input"
    first: dict[str, GuardEntry] = {}
    for index, entry in enumerate(policy.guards):
        other = first.setdefault(entry.name, entry)
        if differs := [name for name in _FORM if getattr(entry.config, name, 0) != getattr(other.config, name, 0)]:
            yield ("guards", index, entry.name), f"must have the same {differs[0]} as the first guard of this name"
    for index, test in enumerate(policy.tests):
        place = ("tests", index)
        if (test.input is None) == (test.output is None):
            yield place, "must have either input or output"
        elif test.stage not in policy.stages:
            yield (*place, test.stage), "is a stage this policy does not look at"
        if test.becomes is not None and test.expect not in _CHANGING:
            yield (*place, "becomes"), "only stands with expect: hash, mask or redact"


def _cross_stages(policy: Policy) -> Iterable[tuple[Path_, str]]:
    """What is wrong between a policy's stages and those of its guards."""
    for index, entry in enumerate(policy.guards):
        row = registry.find(entry.name)
        if row and (odd := [stage for stage in entry.stages or policy.stages if stage not in row.stages]):
            yield ("guards", index, entry.name), f"cannot judge {odd[0]}; set stages: [{', '.join(row.stages)}]"
        if beyond := [stage for stage in entry.stages or () if stage not in policy.stages]:
            yield ("guards", index, entry.name, _STAGES), f"has {beyond[0]}, which this policy does not look at"
    for stage in policy.stages:
        if policy.guards and all(stage not in (entry.stages or policy.stages) for entry in policy.guards):
            yield ("guards",), f"none of them judges {stage}, which is among the policy's stages"


def merged(faults: Sequence[tuple[Path_, str]], value: Any) -> list[tuple[Path_, str]]:
    """Faults by place: where a value may be of several kinds there is one for each, at a place named after the kind."""
    places: dict[Path_, list[str]] = {}
    for path, said in faults:
        places.setdefault(_real(path, value, said), []).append(said)
    return [(path, " or ".join(dict.fromkeys(said))) for path, said in places.items() if not _explained(path, places)]


def _explained(path: Path_, places: Mapping[Path_, list[str]]) -> bool:
    """Is a fault that another kind was expected at `path` only the other half of one inside it?"""
    wrong_kind = all(said.startswith("must be") for said in places[path])
    return wrong_kind and any(len(other) > len(path) and other[: len(path)] == path for other in places)


def _real(path: Path_, value: Any, said: str) -> Path_:
    """`path` without the parts that the document does not have; one that is missing from it stays at the end."""
    real: list[str | int] = []
    for part in path:
        inside = isinstance(value, Mapping) and part in value
        if inside or (isinstance(value, tuple) and isinstance(part, int) and part < len(value)):
            value = value[part]
            real.append(part)
    if said == "is required" and path and (not real or real[-1] != path[-1]):
        real.append(path[-1])
    return tuple(real)
