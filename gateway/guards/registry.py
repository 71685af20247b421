"""Every guard, as a table: its name in documents, its settings, how it is built, and what it needs of a text.

A further guard is an entry point of the group `gateway.guards` that names a `Row`; it cannot take a name of this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from gateway.config.fields import Strict
from gateway.guards import (
    exfiltration,
    injection,
    json_schema,
    judge,
    leak,
    limits,
    moderation,
    ner,
    phrases,
    python,
    secrets,
    webhook,
)
from gateway.guards.base import Guard, SpanGuard, Stage
from gateway.guards.pii import guard as pii
from gateway.guards.ports import Ports

Kind = Literal["span", "clause", "whole", "remote", "model", "function"]
"""What a guard is to the engine. `span`: a `SpanGuard`, no I/O. `clause`: a `Guard` that judges clause by clause. The
others are `Guard`s of scope whole: `whole` here and at once, `remote` over HTTP, `model` by asking a model, `function`
an operator's own."""

AT_ONCE: tuple[Kind, ...] = ("span", "whole")
"""Kinds that nobody waits for."""

Built = tuple[Guard | SpanGuard, ...]
"""What one entry of a document becomes: one guard, or several that share its settings and its name."""

ENTRY_POINTS = "gateway.guards"


@dataclass(frozen=True, slots=True)
class Row:
    """One guard. `stages` are those it can judge: a policy that uses it elsewhere is at fault.

    `build` raises ValueError, with a message for the operator, when the guard cannot be had with these settings here.
    """

    config: type[Strict]
    build: Callable[[Any, Ports], Built]
    kind: Kind
    stages: tuple[Stage, ...] = ("input", "output")


def _alone(build: Callable[[Any], Guard | SpanGuard]) -> Callable[[Any, Ports], Built]:
    """`build` for a guard that needs nothing but its settings."""
    return lambda config, _: (build(config),)


def _with(build: Callable[[Any, Ports], Guard | SpanGuard]) -> Callable[[Any, Ports], Built]:
    """`build` for a guard that needs a port."""
    return lambda config, ports: (build(config, ports),)


def _pii(config: pii.PiiConfig, _: Ports) -> Built:
    """The guard for what patterns find, and one for what a model of language names, where a document asks for it."""
    named = ner.build(config)
    return (pii.build(config), named) if named else (pii.build(config),)


def _limits(config: limits.LimitsConfig, ports: Ports) -> Built:
    """One guard for characters that do not show and one for sizes."""
    if ports.count is not None:
        return limits.build(config, ports.count)
    if config.tokens is not None:
        raise ValueError("needs a way to count tokens, which is not to be had here")
    return limits.build(config, len)  # which is not asked


GUARDS: Mapping[str, Row] = {
    "pii": Row(pii.PiiConfig, _pii, "span"),
    "secrets": Row(secrets.SecretsConfig, _alone(secrets.build), "span"),
    "injection": Row(injection.InjectionConfig, _alone(injection.build), "whole"),
    "phrases": Row(phrases.PhrasesConfig, _alone(phrases.build), "span"),
    "limits": Row(limits.LimitsConfig, _limits, "whole"),
    "exfiltration": Row(exfiltration.ExfiltrationConfig, _alone(exfiltration.build), "span", ("output",)),
    "leak": Row(leak.LeakConfig, _alone(leak.build), "whole", ("output",)),
    "schema": Row(json_schema.SchemaConfig, _alone(json_schema.build), "whole", ("output",)),
    "moderation": Row(moderation.ModerationConfig, _with(moderation.build), "remote"),
    "webhook": Row(webhook.WebhookConfig, _with(webhook.build), "remote"),
    "judge": Row(judge.JudgeConfig, _with(judge.build), "model"),
    "python": Row(python.PythonConfig, _with(python.build), "function"),
}


def find(name: str) -> Row | None:
    """The guard called `name`, here or in an installed package; None when there is none.

    Raises:
        ValueError: an installed package names something that is no `Row`, or cannot be imported.
    """
    if name in GUARDS:
        return GUARDS[name]
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            row = point.load()
        except Exception as error:  # another package's module may raise anything at import
            raise ValueError(f"the package that brings it cannot be imported ({type(error).__name__})") from error
        if not isinstance(row, Row):
            raise ValueError("the package that brings it names something that is no guard")
        return row
    return None


def names() -> list[str]:
    """The names of all guards, also of those in installed packages."""
    return [*GUARDS, *sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - GUARDS.keys())]
