"""The guard `python`: a function of the operator's, named `module:function`.

The function takes `(texts, context)`, a tuple of `gateway.guards.base.Text` and a `Context`, and returns a list of
findings: `Finding`s, or mappings with `rule`, `path` and, where they matter, `category`, `action`, `start`, `end` and
`score` (`gateway.guards.reported.Reported`). An async function runs on the event loop and must not block it; any other
runs in the pool of threads, where a policy's time-out stops the waiting but not the function.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.config.fields import Strict
from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.ports import Pool, Ports
from gateway.guards.reported import findings

_PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def _place(value: str) -> str:
    if not _PLACE.fullmatch(value):
        raise ValueError("must be module:function, such as my_guards:no_ponies")
    return value


class PythonConfig(Strict):
    """Settings of the guard `python`."""

    function: Annotated[str, AfterValidator(_place)] = Field(description="module:function, importable by the gateway.")
    action: Action = Field("block", description="What is done about a finding that does not say.")


@dataclass(frozen=True, slots=True)
class PythonGuard:
    """Runs one function of the operator's. `pool` is None for an async function."""

    place: str
    action: Action
    function: Callable[..., Any] = field(repr=False)
    pool: Pool | None = None
    name: str = "python"
    scope: Scope = "whole"

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """What the function reports.

        Raises:
            GuardFailed: it reports nonsense, or the pool is full. What the function itself raises is raised.
        """
        given = tuple(texts)
        if self.pool is None:
            rows = await self.function(given, context)
        else:
            rows = await self.pool.run(self.function, given, context)
            if inspect.iscoroutine(rows):
                rows.close()
        return findings(self.name, rows, given, self.action)


def build(config: PythonConfig, ports: Ports) -> PythonGuard:
    """The guard for `config`; imports the operator's module.

    Raises:
        ValueError: there is no such function, or there is no pool to run it in.
    """
    function = _imported(config.function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return PythonGuard(config.function, config.action, function)
    if ports.pool is None:
        raise ValueError("needs a pool of threads, which is not to be had here")
    return PythonGuard(config.function, config.action, function, ports.pool)


def _imported(place: str) -> Callable[..., Any]:
    module, _, path = place.partition(":")
    try:
        found: Any = import_module(module)
    except Exception as error:  # an operator's module may raise anything at import
        raise ValueError(f"the module {module} cannot be imported ({type(error).__name__})") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ValueError(f"the module {module} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{place} cannot be called")
    return found  # type: ignore[no-any-return]
