"""Which other names stand in for one that cannot serve: `fallbacks` and its kin, as the configuration has them."""

from collections.abc import Mapping

from gateway.config.check import ANY
from gateway.config.model import RouterSettings
from gateway.routing.retrying import Chain


class Chains:
    """The chains of one configuration.

    A chain is looked up by the name that was asked for, else by the alias that serves it, which may be a wildcard. The
    star of a wildcard as a target is filled with what the star of the alias stands for: with `openai/*: [azure/*]`, a
    request for `openai/gpt-4o` falls back to `azure/gpt-4o`. `fallbacks` of `*`, else `default_fallbacks`, are for
    every name asked for that has none of its own.
    """

    __slots__ = ("_any", "_chains")

    def __init__(self, router: RouterSettings) -> None:
        self._chains: Mapping[Chain, Mapping[str, tuple[str, ...]]] = {
            "fallbacks": router.fallbacks,
            "context_window_fallbacks": router.context_window_fallbacks,
            "content_policy_fallbacks": router.content_policy_fallbacks,
        }
        self._any: Mapping[Chain, tuple[str, ...]] = {
            kind: chains.get(ANY, router.default_fallbacks if kind == "fallbacks" else ())
            for kind, chains in self._chains.items()
        }

    def __repr__(self) -> str:
        said = ", ".join(f"{len(chains)} {kind}" for kind, chains in self._chains.items())
        return f"<Chains {said}>"

    def names(self, kind: Chain, name: str, alias: str, *, asked: bool) -> tuple[str, ...]:
        """The names to try in place of `name`, in their order; none where there are none.

        Args:
            alias: what serves `name` in the configuration: itself, or a wildcard.
            asked: whether it is what the client asked for, not itself a fallback; chains for every name are for those.
        """
        chains = self._chains[kind]
        found = chains.get(name)
        if found is None:
            found = chains.get(alias) if alias != ANY else None
        if found is None:
            found = self._any[kind] if asked else ()
        return tuple(_filled(each, name, alias) for each in found)


def _filled(target: str, name: str, alias: str) -> str:
    """`target`, its star filled with what that of `alias` stands for in `name`; all of `name` where it has none."""
    if ANY not in target:
        return target
    before, star, after = alias.partition(ANY)
    return target.replace(ANY, name[len(before) : len(name) - len(after)] if star else name, 1)
