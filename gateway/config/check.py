"""What is wrong between settings that are each right: ids given twice, fallbacks to nowhere or in a circle."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gateway.config.limits import LimitSettings
from gateway.config.model import RouterSettings
from gateway.config.reader import Given
from gateway.config.source import Path_, closest

CHAINS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
ANY = "*"
"""As the key of a chain: every alias that has no chain of its own."""

Fault = tuple[Path_, str]


@dataclass(frozen=True, slots=True)
class Named:
    """What an entry of `model_list` is called, and where it stands; it may have faults of its own."""

    alias: str
    id: str
    path: Path_


def duplicate_ids(deployments: Sequence[Named]) -> Iterator[Fault]:
    """Deployments whose id an earlier one has."""
    first: dict[str, Path_] = {}
    for deployment in deployments:
        if deployment.id in first:
            yield (*deployment.path, "model_info", "id"), f"is also the id of model_list[{first[deployment.id][1]}]"
        first.setdefault(deployment.id, deployment.path)


def routes(router: RouterSettings, deployments: Sequence[Named], given: Given) -> Iterator[Fault]:
    """Names in fallbacks, policies and aliases of groups that no deployment has, and chains that end nowhere.

    A fallback may name an alias, one that a wildcard serves, a further name of an alias, or a deployment's id, as in
    LiteLLM; a further name stands for an alias of `model_list` itself. `given` says where each setting stands.
    """
    aliases = {deployment.alias for deployment in deployments}
    names = aliases | router.model_group_alias.keys()
    targets = names | {deployment.id for deployment in deployments}
    for name, group in router.model_group_alias.items():
        if group not in aliases or ANY in group:
            yield (*given["model_group_alias"][1], name), _unnamed(group, aliases)
    yield from _policies(router, names, given)
    for index, target in enumerate(router.default_fallbacks):
        if not _served(target, targets):
            yield (*given["default_fallbacks"][1], index), _nowhere(target, targets)
    for field in CHAINS:
        chains: Mapping[str, tuple[str, ...]] = getattr(router, field)
        for name, chain in chains.items():
            where = _place(*given[field], name)
            if name != ANY and not _served(name, names):
                yield where, _nowhere(name, names)
            for index, target in enumerate(chain):
                if not _served(target, targets):
                    yield (*where, index), _nowhere(target, targets)
        if circle := _circle(chains):
            yield _place(*given[field], circle[0]), f"goes in a circle: {' -> '.join(circle)}"


def _policies(router: RouterSettings, names: set[str], given: Given) -> Iterator[Fault]:
    for name in router.model_group_retry_policy:
        if not _served(name, names):
            yield (*given["model_group_retry_policy"][1], name), _nowhere(name, names)


def bounded(
    limits: LimitSettings | None, router: RouterSettings | None, deployments: Sequence[Named]
) -> Iterator[Fault]:
    """Models that limits are for and nobody has. Each is an alias, or a name that a wildcard serves; further names of
    an alias count as the alias."""
    if limits is None or router is None:
        return
    aliases = {deployment.alias for deployment in deployments}
    for name in limits.models:
        if name in router.model_group_alias:
            yield ("limits", "models", name), f"is a further name of {router.model_group_alias[name]!r}; name that"
        elif not _served(name, aliases):
            yield ("limits", "models", name), _nowhere(name, aliases)


def _served(name: str, names: set[str]) -> bool:
    return name in names or any(ANY in pattern and fnmatchcase(name, _glob(pattern)) for pattern in names)


def _glob(pattern: str) -> str:
    """`pattern` with the star as its only special character."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _nowhere(name: str, names: set[str]) -> str:
    return f"no model has the name {name[:100]!r}{closest(name, names)}"


def _unnamed(group: str, aliases: set[str]) -> str:
    if group not in aliases:
        return _nowhere(group, aliases)
    return (
        f"{group!r} is a wildcard, which has no text for its star here; give the name an entry of its own in model_list"
    )


def _place(value: Any, path: Path_, name: str) -> Path_:
    """Where the chain of `name` stands in a list of mappings, or in one mapping."""
    if isinstance(value, Mapping):
        return (*path, name)
    return next(((*path, index, name) for index, item in enumerate(value) if name in item), path)


def _circle(chains: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """The first circle in `chains`, its first name again at the end; chains of `*` are left out."""
    done: set[str] = set()
    for start in chains:
        if start != ANY and (found := _walk(start, chains, [], done)):
            return found
    return None


def _walk(name: str, chains: Mapping[str, tuple[str, ...]], trail: list[str], done: set[str]) -> list[str] | None:
    if name in trail:
        return [*trail[trail.index(name) :], name]
    if name in done:
        return None
    for target in chains.get(name, ()):
        if found := _walk(target, chains, [*trail, name], done):
            return found
    done.add(name)
    return None
