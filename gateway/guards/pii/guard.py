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
from gateway.guards.pii.custom import CustomConfig, Customs
from gateway.guards.pii.defaults import KNOWN, NAMED, REGIONS

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
    reader: Any = field(repr=False)
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
        asked = None
        if text.isascii() and not self.customs.rows:
            asked = self.detector.asked(text, text)
            if not asked:
                return []
        return PiiReading(self).more(text, path, 0, closing=True, asked=asked)[0]

    def settled(self, text: str) -> int:
        """The index before which nothing can change, whatever follows `text`."""
        return self.reading().more(text, "", 0, closing=False)[1]

    def reading(self) -> "PiiReading":
        """This guard as it reads one text that comes in pieces."""
        return PiiReading(self)

    def shortest_context(self) -> int:
        """0: a reading remembers by itself what stands before."""
        return 0


class PiiReading:
    """The guard at one text; see `gateway.guards.base.Reading`."""

    __slots__ = ("_guard", "_reading")

    def __init__(self, guard: PiiGuard) -> None:
        self._guard = guard
        owned = guard.customs.owned()
        self._reading = guard.reader(guard.detector, owned, obfuscated=guard.obfuscated, allowed=guard.allowed)

    def more(
        self, text: str, path: str, since: int, *, closing: bool, asked: set[int] | None = None
    ) -> tuple[list[Finding], int]:
        """What is found after `text` has come, and up to where it is settled; `asked` as `Reading.more` there has it.

        Raises:
            TimeoutError, ValueError: a recognizer could not judge the text.
        """
        found, settled = self._reading.more(text, since, closing=closing, asked=asked)
        name, actions = self._guard.name, self._guard.actions
        return [
            Finding(name, entity, CATEGORY, actions[entity], path, start, end, score)
            for entity, start, end, score in found
        ], settled


def build(config: PiiConfig) -> SpanGuard:
    """The guard. Takes a second the first time, while Presidio is imported.

    Raises:
        ValueError: a region has no phone numbers that can be found.
    """
    from gateway.guards.pii import detect, reading

    chosen = config.patterns
    regions = (chosen["PHONE_NUMBER"].regions if "PHONE_NUMBER" in chosen else None) or REGIONS
    made = detect.detector({name: one.score for name, one in chosen.items()}, regions)
    actions: dict[str, Action] = {name: one.action for name, one in chosen.items()}
    actions |= {one.name: one.action for one in config.custom}
    return PiiGuard(
        actions,
        made,
        reading.Reading,
        Customs(config.custom),
        frozenset(config.allow_list),
        config.obfuscated,
    )
