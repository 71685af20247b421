"""From documents to policies that run: guards built, conditions compiled, placeholders in their form."""

from collections.abc import Mapping, Sequence
from itertools import chain

from gateway.config.fields import Strict
from gateway.errors import ConfigError
from gateway.guards import engine
from gateway.guards.base import Context, Stage, Text
from gateway.guards.document import Policy as Document
from gateway.guards.examples import Judge, Judged
from gateway.guards.load import LoadedPolicy, built
from gateway.guards.matching import matcher
from gateway.guards.policy import Policy
from gateway.guards.ports import Ports
from gateway.guards.registry import Built
from gateway.guards.vault import PLAIN, Form, Vault


def every(loaded: Sequence[LoadedPolicy], ports: Ports) -> tuple[Policy, ...]:
    """The policies of some documents, ready for the engine.

    Raises:
        ConfigError: guards that cannot be had here, those of all documents together, each with its line.
    """
    policies: list[Policy] = []
    faults: list[str] = []
    for one in loaded:
        try:
            policies.append(assembled(one, ports))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return tuple(policies)


def assembled(loaded: LoadedPolicy, ports: Ports) -> Policy:
    """The policy of one document, ready for the engine.

    Raises:
        ConfigError: guards that cannot be had here, each with its line.
    """
    document = loaded.policy
    guards = built(loaded, ports)
    return Policy(
        name=document.policy,
        version=document.version,
        guards=tuple(chain.from_iterable(guards)),
        narrow=_narrow(document, guards),
        mode=document.mode,
        stages=frozenset(document.stages),
        matches=matcher(document.match, loaded.condition),
        sample=document.sample,
        on_error=document.on_error,
        timeout=document.timeout_ms / 1_000,
        on_block=engine.OnBlock(document.on_block.input, document.on_block.output, document.on_block.message),
        forms=_forms(document),
        stream=document.stream,
        hold_chars=document.hold.max_chars,
        hold_seconds=document.hold.max_ms / 1_000,
        parallel=document.parallel,
    )


def _narrow(document: Document, guards: Sequence[Built]) -> Mapping[int, frozenset[Stage]]:
    """By the place of each guard whose entry has `stages` of its own: those."""
    stages = [entry.stages for entry, made in zip(document.guards, guards, strict=True) for _ in made]
    return {place: frozenset(own) for place, own in enumerate(stages) if own is not None}


def _forms(document: Document) -> Mapping[str, Form]:
    """How the placeholders of each guard look whose settings have a `placeholder` or a `restore`."""
    return {entry.name: _form(entry.config) for entry in document.guards}


def _form(config: Strict) -> Form:
    return Form(getattr(config, "placeholder", PLAIN.placeholder), getattr(config, "restore", PLAIN.restore))


def example_judge(loaded: LoadedPolicy, ports: Ports) -> Judge:
    """A judge for the tests of one policy: it enforces, for every request, whatever the document says of when.

    Raises:
        ConfigError: guards that cannot be had here, each with its line.
    """
    guards = built(loaded, ports)
    document = loaded.policy
    policy = Policy(
        document.policy,
        document.version,
        tuple(chain.from_iterable(guards)),
        narrow=_narrow(document, guards),
        timeout=document.timeout_ms / 1_000,
        forms=_forms(document),
        parallel=document.parallel,
    )

    async def judge(stage: Stage, text: str) -> Judged:
        path = "prompt[0]" if stage == "input" else "choices[0].text"
        outcome = await engine.judge([policy], [Text(path, text)], Context(stage), vault=Vault())
        (verdict,) = outcome.verdicts
        becomes = outcome.texts[0].value if outcome.texts else None
        return Judged(verdict.decision, becomes, verdict.status in ("error", "timeout"))

    return judge
