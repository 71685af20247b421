"""LiteLLM's budgets and limits, read into `limits` and `end_users`; what stands there itself counts.

The names are those of LiteLLM's reference (docs.litellm.ai, "All settings", "Customer budgets" and "Tag budgets").
"""

from collections.abc import Mapping
from typing import Any

from gateway.config.document import scalar
from gateway.config.reader import Given, Reader
from gateway.config.references import Resolved
from gateway.config.source import Path_

PLACES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("litellm_settings", "max_budget"): ("limits", "all", "budget", "max_usd"),
    ("litellm_settings", "budget_duration"): ("limits", "all", "budget", "period"),
    ("litellm_settings", "max_end_user_budget"): ("end_users", "default_budget", "max_usd"),
    ("litellm_settings", "tag_budget_config"): ("limits", "tags"),
}
"""Each key, and the path of the setting that it is here."""

_OF_A_TAG: Mapping[str, str] = {"max_budget": "max_usd", "budget_duration": "period"}


def move(reader: Reader, given: Mapping[str, Given]) -> None:
    """Take LiteLLM's keys out of `given`, which has what each section gives, and put ours in their place."""
    for (section, key), (target, name, *inner) in PLACES.items():
        if key not in given[section]:
            continue
        value, path = given[section].pop(key)
        value = _plain(reader, value, path)
        if value is None:
            continue
        if key == "tag_budget_config":
            value = _tags(reader, value, path)
        known, place = given[target].get(name, ({}, path))
        if known is None or isinstance(known, Mapping):
            given[target][name] = (_put(known or {}, inner, value), place)


def _plain(reader: Reader, value: Any, path: Path_) -> Any:
    found = reader.resolve(value, path)
    return scalar(found) if isinstance(found, Resolved) else found


def _put(known: Mapping[str, Any], inner: list[str], value: Any) -> Mapping[str, Any]:
    """`known` with `value` at the path `inner`, unless something is there."""
    if not inner:
        return {**value, **known} if isinstance(value, Mapping) else known
    name, *rest = inner
    below = known.get(name)
    if not rest:
        return known if below is not None else {**known, name: value}
    if below is None or isinstance(below, Mapping):
        return {**known, name: _put(below or {}, rest, value)}
    return known


def _tags(reader: Reader, value: Any, path: Path_) -> Mapping[str, Any]:
    made: dict[str, Any] = {}
    for tag, budget in reader.mapping(value, path).items():
        said = reader.known("tag_budget_config", budget, (*path, tag), _OF_A_TAG)
        made[tag] = {"budget": {_OF_A_TAG[key]: _plain(reader, each, at) for key, (each, at) in said.items()}}
    return made
