"""The entries of `model_list` as deployments."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from gateway.config import litellm
from gateway.config.check import Named
from gateway.config.document import scalar
from gateway.config.model import PRICES, Defaults, Deployment
from gateway.config.options import OPTIONS, is_option
from gateway.config.reader import Given, Reader
from gateway.config.references import Resolved
from gateway.config.secret import Secret
from gateway.config.source import Path_, closest

PARAMS = "litellm_params"
PARAMS_TOO = "params"
"""The two names of one key."""

_IN_INFO = ("id", "base_model", "max_input_tokens", *PRICES)
_LIMITS = ("rpm", "tpm", "weight", "order")
"""LiteLLM reads these beside `litellm_params` too."""
_NOT_PARAMS = frozenset({"id", "alias", "provider", "model", "defaults", "options", "path"})
IN_PARAMS = frozenset(Deployment.model_fields) - _NOT_PARAMS
_DONE = frozenset({"id", "alias", "provider", "model", "defaults", "options", "path"})
"""Fields whose references are resolved here."""
_NAMING = frozenset({"model", "custom_llm_provider", "litellm_credential_name"})

Credentials = Mapping[str, Given]


def deployments(reader: Reader, value: Any, credentials: Credentials) -> tuple[tuple[Deployment, ...], list[Named]]:
    """The deployments in `value`, and the names of all, also of those that `reader` now has faults of."""
    path: Path_ = ("model_list",)
    flat = [_flat(reader, entry, (*path, i), credentials) for i, entry in enumerate(reader.sequence(value, path))]
    listed = [given for given in flat if given is not None]
    _name(listed)
    made = [reader.make(Deployment, given, given["path"][0], _DONE) for given in listed]
    named = [Named(str(given["alias"][0]), str(given["id"][0]), given["path"][0]) for given in listed]
    return tuple(deployment for deployment in made if deployment), named


def credentials(reader: Reader, value: Any) -> Credentials:
    """LiteLLM's `credential_list`: settings that entries share by `litellm_credential_name`."""
    found: dict[str, Given] = {}
    for index, item in enumerate(reader.sequence(value, ("credential_list",))):
        path: Path_ = ("credential_list", index)
        given = reader.known("credential_list", item, path, ("credential_name", "credential_values", "credential_info"))
        name, place = given.get("credential_name", (None, (*path, "credential_name")))
        values, below = given.get("credential_values", (None, (*path, "credential_values")))
        if not isinstance(name, str) or name in found:
            reader.fault(place, "must be a name that no other credential has")
            continue
        found[name] = {key: (each, (*below, key)) for key, each in reader.mapping(values, below).items()}
    return found


def _flat(reader: Reader, entry: Any, path: Path_, shared: Credentials) -> Given | None:
    """One entry as the fields of a deployment, or None when it is no mapping."""
    if not isinstance(entry, Mapping):
        reader.fault(path, "must be a mapping with model_name and litellm_params")
        return None
    given = reader.known("model_list", entry, path, ("model_name", PARAMS, PARAMS_TOO, "model_info", *_LIMITS))
    flat: Given = {name: given[name] for name in _LIMITS if name in given}
    flat |= _info(reader, *given.get("model_info", (None, (*path, "model_info"))))
    if PARAMS in given and PARAMS_TOO in given:
        reader.fault(given[PARAMS_TOO][1], f"is the same key as {PARAMS}; give one of them")
    params, below = given.get(PARAMS) or given.get(PARAMS_TOO) or (None, (*path, PARAMS))
    flat |= _params(reader, params, below, shared)
    alias, place = given.get("model_name", (None, (*path, "model_name")))
    flat["alias"] = (reader.resolve(alias, place), place)
    flat["path"] = (path, path)
    return flat


def _info(reader: Reader, value: Any, path: Path_) -> Given:
    """`model_info`, where LiteLLM takes any key: ours are read, what looks like one of ours misspelt is a fault."""
    flat: Given = {}
    for key, item in reader.mapping(value, path).items():
        place = (*path, key)
        if key in _IN_INFO:
            found = reader.resolve(item, place) if key == "id" else item
            flat[key] = (str(found) if key == "id" and type(found) is int else found, place)
        elif not litellm.has_no_use("model_info", key) and get_close_matches(key, _IN_INFO, cutoff=0.8):
            reader.fault(place, f"unknown key{closest(key, _IN_INFO)}")
        else:
            reader.unused.append(place)
    return flat


def _params(reader: Reader, value: Any, path: Path_, shared: Credentials) -> Given:
    """`litellm_params`, with the credential it names filled in below it."""
    given: Given = {key: (item, (*path, key)) for key, item in reader.mapping(value, path).items()}
    if "litellm_credential_name" in given:
        name, place = given["litellm_credential_name"]
        if not isinstance(name, str) or name not in shared:
            reader.fault(place, "names no entry of credential_list" + closest(str(name), shared))
        else:
            given = {**shared[name], **given}
    flat: Given = {}
    defaults: Given = {}
    options: dict[str, Any] = {}
    for key, (item, place) in given.items():
        if key in IN_PARAMS:
            flat[key] = (item, place)
        elif key in Defaults.model_fields:
            defaults[key] = (item, place)
        elif is_option(key):
            options[key] = _option(reader, key, item, place)
        elif key in _NAMING:
            continue
        elif litellm.has_no_use(PARAMS, key):
            reader.unused.append(place)
        else:
            known = IN_PARAMS | OPTIONS.keys() | Defaults.model_fields.keys() | _NAMING
            reader.fault(place, f"unknown key{closest(key, known)}")
    flat |= _model(reader, given, path)
    if defaults:
        flat["defaults"] = (reader.make(Defaults, defaults, path), path)
    flat["options"] = ({key: item for key, item in options.items() if item is not None}, path)
    return flat


def _model(reader: Reader, given: Given, path: Path_) -> Given:
    """`provider/model` in its two parts."""
    value, place = given.get("model", (None, (*path, "model")))
    named, by = given.get("custom_llm_provider", (None, place))
    said = len(reader.faults)
    model, provider = reader.resolve(value, place), reader.resolve(named, by)
    if not isinstance(model, str) or not model:
        if len(reader.faults) == said:
            reader.fault(place, "is required: provider/model" if model is None else "must be text: provider/model")
        # A deployment needs both parts to be checked further; the fault above keeps it from being used.
        return {"provider": ("unknown", place), "model": ("unknown", place)}
    if isinstance(provider, str):
        return {"provider": (provider, by), "model": (model.removeprefix(f"{provider}/"), place)}
    head, slash, tail = model.partition("/")
    if slash and not (head and tail):
        reader.fault(place, "must name a provider before the slash and a model after it")
        head, tail = head or "unknown", tail or "unknown"
    provider = head if slash or model == "*" else "openai"
    return {"provider": (provider, place), "model": (tail if slash else model, place)}


def _option(reader: Reader, name: str, value: Any, path: Path_) -> Any:
    """A provider's own setting in the kind its table says; None when it is left out or wrong."""
    found = reader.resolve(value, path)
    if found is None:
        return None
    if name not in OPTIONS:
        return scalar(found) if isinstance(found, Resolved) else found
    kind = OPTIONS[name].kind
    if kind == "whole number":
        found = scalar(found) if isinstance(found, Resolved) else found
        if type(found) is int:
            return found
        reader.fault(path, "must be a whole number, without quotes")
        return None
    if kind == "secret" and isinstance(found, Mapping):
        return Secret(json.dumps(found))
    if not isinstance(found, str) or not found:
        reader.fault(path, "must be text; put it in quotes")
        return None
    return Secret(found) if kind == "secret" else str(found)


def _name(listed: list[Given]) -> None:
    """Give entries without an id the alias and its position in the group: `gpt-4o-1`, `gpt-4o-2`."""
    taken = {given["id"][0] for given in listed if "id" in given and isinstance(given["id"][0], str)}
    positions: Counter[str] = Counter()
    for given in listed:
        alias = str(given["alias"][0])
        positions[alias] += 1
        if given.get("id", (None,))[0] is None:
            name = next(name for name in _candidates(alias, positions[alias]) if name not in taken)
            taken.add(name)
            given["id"] = (name, given["path"][0])


def _candidates(alias: str, position: int) -> Iterator[str]:
    while True:
        yield f"{alias}-{position}"
        position += 1
