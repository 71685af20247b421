"""The guard `pii`: personal data by pattern, checksum and context word, with Presidio's recognizers as the detector.

What is found by a model of language (`engine: ner`: names, places, organizations) is the guard of
`gateway.guards.pii.ner`; both read the settings here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from gateway.config.fields import Strict
from gateway.guards import vault
from gateway.guards.base import Action, Finding, SpanGuard
from gateway.guards.pii import rows
from gateway.guards.pii.context import Behind, behind
from gateway.guards.pii.custom import CustomConfig, Customs
from gateway.guards.pii.defaults import KNOWN, NAMED, REGIONS
from gateway.guards.pii.plain import Plain, plain

CATEGORY = "pii"
NER_SCORE = 0.85
"""The score of what the model of language names, as in Presidio."""


class EntityConfig(Strict):
    """What is done about one entity."""

    action: Action = Field("mask", description="What is done about it.")
    score: float | None = Field(None, ge=0, le=1, description="Least score of a finding; the entity's own if left out.")
    regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] | None = Field(
        None, min_length=1, description="PHONE_NUMBER only: whose national numbers are known."
    )
    engine: Literal["patterns", "ner"] | None = Field(
        None, description="`ner`: found by a model of language (PERSON, LOCATION, ORGANIZATION, NRP)."
    )


def _entities(value: Mapping[str, Action | EntityConfig]) -> Mapping[str, EntityConfig]:
    return {
        name: one
        if isinstance(one, EntityConfig)
        else EntityConfig(action=one, engine="ner" if name in NAMED else None)
        for name, one in value.items()
    }


def _defaults() -> dict[str, EntityConfig]:
    return {name: EntityConfig(action=known.action) for name, known in KNOWN.items()}


def _placeholder(value: str) -> str:
    if said := vault.fault(value):
        raise ValueError(said)
    return value


Entities = Annotated[
    Mapping[str, Action | EntityConfig], AfterValidator(_entities), PlainSerializer(dict, return_type=dict)
]


class PiiConfig(Strict):
    """Settings of the guard `pii`."""

    entities: Entities = Field(
        default_factory=_defaults,
        description="Each entity with its action, or with {action, score, regions, engine}. All that patterns find "
        "when left out: URL, DATE_TIME and UUID are flagged, the rest masked.",
    )
    restore: bool = Field(False, description="Turn placeholders in the answer back, for this caller only.")
    placeholder: Annotated[str, AfterValidator(_placeholder)] = Field(
        "<{entity}_{n}>", min_length=1, max_length=64, description="What stands in for a masked value."
    )
    allow_list: tuple[str, ...] = Field((), description="Values that are never findings, letter by letter.")
    custom: tuple[CustomConfig, ...] = Field((), description="Entities of the operator's own.")
    obfuscated: bool = Field(
        True, description="Look through invisible characters and wide digits, letters and signs as well."
    )

    @model_validator(mode="after")
    def _fits(self) -> "PiiConfig":
        own = [one.name for one in self.custom]
        for name in own:
            if name in KNOWN or name in NAMED or own.count(name) > 1:
                raise ValueError(f"custom: {name} is the name of another entity")
        for name, one in self._chosen().items():
            if said := _fault(name, one, own):
                raise ValueError(f"entities: {name} {said}")
        if not self._chosen() and not own:
            raise ValueError("must name at least one entity")
        return self

    def _chosen(self) -> Mapping[str, EntityConfig]:
        return self.entities  # type: ignore[return-value]  # `_entities` has made them so

    @property
    def patterns(self) -> dict[str, EntityConfig]:
        """The entities found by Presidio's patterns."""
        return {name: one for name, one in self._chosen().items() if name in KNOWN and one.action != "allow"}

    @property
    def named(self) -> dict[str, EntityConfig]:
        """The entities found by a model of language."""
        return {name: one for name, one in self._chosen().items() if name in NAMED and one.action != "allow"}


def _fault(name: str, one: EntityConfig, own: list[str]) -> str | None:
    """What is wrong with one entity's settings, as the end of a sentence."""
    if name in own:
        return "is a custom entity; its action stands there"
    if name not in KNOWN and name not in NAMED:
        return f"is not known; there are {', '.join(sorted({*KNOWN, *NAMED}))}"
    if name in NAMED and one.engine != "ner":
        return "is only found by engine: ner"
    if name in KNOWN and one.engine == "ner":
        return "is not found by engine: ner"
    if one.regions is not None and name != "PHONE_NUMBER":
        return "has no regions"
    return None


@dataclass(frozen=True, slots=True)
class PiiGuard:
    """Finds personal data in one text; see `gateway.guards.base.SpanGuard`."""

    actions: Mapping[str, Action] = field(repr=False)
    detector: Any = field(repr=False)
    tails: Any = field(repr=False)
    customs: Customs = field(repr=False)
    allowed: frozenset[str] = field(repr=False)
    obfuscated: bool = True
    name: str = "pii"

    def __repr__(self) -> str:
        return f"<PiiGuard {' '.join(f'{name}:{action}' for name, action in self.actions.items())}>"

    def find(self, text: str, path: str) -> list[Finding]:
        """Every finding in `text`, in order of start.

        Raises:
            TimeoutError, ValueError: a recognizer could not judge the text.
        """
        return self._find(text, path, plain(text) if self.obfuscated else None, 0)

    def settled(self, text: str) -> int:
        """The index before which nothing can change, whatever follows `text`."""
        return self.judge(text, "")[1]

    def judge(self, text: str, path: str) -> tuple[list[Finding], int]:
        """`find(text, path)` and `settled(text)` at once, for little more than the price of the first."""
        return self.judge_from(text, path, 0)

    def judge_from(self, text: str, path: str, since: int) -> tuple[list[Finding], int]:
        """What `judge` says of the part of `text` that is not settled yet, for a fraction of its price.

        Args:
            since: where what has been settled before ends. Findings that start before it are left out.
        """
        seen = plain(text) if self.obfuscated else None
        found = self._find(text, path, seen, since)
        if since:
            found = [one for one in found if one.start >= since]
        held = self._held(text)
        if seen:
            held = min(held, seen.back_start(self._held(seen.text)))
        if held < len(text):
            for one in reversed(found):
                if one.start < held < one.end:
                    held = one.start
        return found, held

    def shortest_context(self) -> int:
        """How many characters before an index `find` may look at to decide what starts there."""
        return rows.CONTEXT

    def _find(self, text: str, path: str, seen: Plain | None, since: int) -> list[Finding]:
        found = self._found(text, since, behind)
        if seen:
            spans = {(name, start, end) for name, start, end, _ in found}
            for name, start, end, score in self._found(seen.text, 0 if seen.gaps else since, seen.behind):
                start, end = seen.back(start, end)
                if (name, start, end) not in spans:
                    found.append((name, start, end, score))
        if not found:
            return []
        findings = [
            Finding(self.name, name, CATEGORY, self.actions[name], path, start, end, score)
            for name, start, end, score in found
            if text[start:end] not in self.allowed
        ]
        findings.sort(key=lambda one: (one.start, one.end, one.rule))
        return findings

    def _found(self, text: str, since: int, before_it: Behind) -> list[tuple[str, int, int, float]]:
        found = [(name, *hit) for name, hits in self.detector.find(text, since, before_it).items() for hit in hits]
        if self.customs.rows:
            found += self.customs.find(text, before_it)
        return found

    def _held(self, text: str) -> int:
        held: int = self.tails.held(text)
        return min(held, self.customs.held(text)) if self.customs.rows else held


def build(config: PiiConfig) -> SpanGuard:
    """The guard. Takes a second the first time, while Presidio is imported.

    Raises:
        ValueError: a region has no phone numbers that can be found.
    """
    from gateway.guards.pii import detect, tails

    chosen = config.patterns
    regions = (chosen["PHONE_NUMBER"].regions if "PHONE_NUMBER" in chosen else None) or REGIONS
    made = detect.detector({name: one.score for name, one in chosen.items()}, regions)
    actions: dict[str, Action] = {name: one.action for name, one in chosen.items()}
    actions |= {one.name: one.action for one in config.custom}
    return PiiGuard(
        actions,
        made,
        tails.tails(made),
        Customs(config.custom),
        frozenset(config.allow_list),
        config.obfuscated,
    )
