"""The configuration as the commands want it: with every fault that any floor finds, before anything is done with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gateway.app import default_upstream
from gateway.config import environment, otel
from gateway.config.load import Loaded
from gateway.errors import ConfigError
from gateway.guards.policy import Policy
from gateway.guards.ports import Pool
from gateway.routing import call, guarding
from gateway.routing.deployments import Catalogue
from gateway.serving.worker import loaded

T = TypeVar("T")


def checked(config: Path | None) -> Loaded:
    """The configuration at `config`, or the built-in one, its deployments and policies found good.

    Raises:
        ConfigError: every fault at once.
    """
    found = loaded(config)
    checks: list[Callable[[], object]] = [
        lambda: Catalogue(found.settings, found.source),
        lambda: guarding.documents(found.settings, found.source),
        lambda: otel.of(found.settings),
        default_upstream,
    ]
    all_of(checks)
    return found


def servable(config: Path | None) -> Loaded:
    """`checked`, and every guard of its policies can be had here: a worker that starts will serve.

    Raises:
        ConfigError: every fault at once.
    """
    found = checked(config)
    pool = Pool()
    try:
        caller = call.make(Catalogue(found.settings, found.source), found.settings, default_upstream())
        policies, _ = guarding.policies(found.settings, found.source, guarding.ports(caller, pool))
    finally:
        pool.close()
    for policy in policies:
        _give_back(policy)
    return found


def key(found: Loaded, variable: str | None) -> str | None:
    """The key in an environment variable; without a name, the configuration's master key, if it has one.

    Raises:
        ConfigError: the variable is not set.
    """
    if variable is None:
        master = found.settings.general.master_key
        return master.reveal() if master is not None else None
    value = environment.get(variable)
    if value is None:
        raise ConfigError([f"the environment variable {variable} is not set"])
    return value


def _give_back(policy: Policy) -> None:
    """Stop the processes that guards of a policy nobody will ask have started."""
    for guard in policy.guards:
        processes = getattr(guard, "processes", None)
        if processes is not None:
            processes.close()


def all_of(makers: Sequence[Callable[[], T]]) -> list[T]:
    """What each of `makers` makes.

    Raises:
        ConfigError: the faults of all of them together.
    """
    made: list[T] = []
    faults: list[str] = []
    for make in makers:
        try:
            made.append(make())
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return made
