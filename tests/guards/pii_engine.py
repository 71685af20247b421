"""Presidio's own `AnalyzerEngine` over the recognizers, thresholds and context rule of our guard, to compare with."""

from functools import cache
from typing import Any

import regex
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from gateway.guards.pii import context, islands
from gateway.guards.pii.defaults import KNOWN, REGIONS
from gateway.guards.pii.detect import PHONE, Detector, detector
from gateway.guards.pii.phone import MOST_BLANKS
from gateway.guards.pii.recognizers import MOST, presidio

_phrases = cache(context.phrases)


class WordsBefore(ContextAwareEnhancer):
    """Our context rule as an engine takes it: whole words, of what stands before a match."""

    def __init__(self) -> None:
        super().__init__(context.BOOST, context.LEAST, context.WORDS, 0)

    def enhance_using_context(
        self, text: str, raw_results: Any, nlp_artifacts: Any, recognizers: Any, context_: Any = None, **_: Any
    ) -> Any:
        words = {one.id: _phrases(tuple(one.context)) for one in recognizers}
        for result in raw_results:
            known = words[result.recognition_metadata["recognizer_identifier"]]
            if result.score < 1.0 and context.supports(text, result.start, known):
                result.score = context.raised(result.score)
        return raw_results


@cache
def engine() -> AnalyzerEngine:
    registry = RecognizerRegistry(recognizers=[], supported_languages=["en"])
    for entity, known in KNOWN.items():
        one = presidio(entity)
        one.score_thresholds = {entity: known.score}
        registry.recognizers.append(one)  # a class of its own where Presidio was imported by name
    nlp = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    nlp.load()
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, context_aware_enhancer=WordsBefore())


@cache
def ours() -> Detector:
    return detector(dict.fromkeys(KNOWN), REGIONS)


_ENDLESS = regex.compile(rf"[.]\d{{{MOST + 1},}}|%[0-9a-zA-Z]{{{MOST + 1},}}")
_BLANKS = regex.compile(rf"[- \t,\xa0]{{{MOST_BLANKS + 1},}}")
_NEAR = 64


def beyond(text: str) -> list[tuple[str, int, int]]:
    """Entities and where our answers may be others than Presidio's, for no candidate may be of any length: names of
    machines (RFC 1035) and of mailboxes (RFC 5321) that are too long, decimals of a second, zones of IPv6, and blanks
    before an extension."""
    hosts = (match.span() for match in islands.HOST.finditer(text))
    areas = [("URL", start, end) for start, end in hosts if end - start > islands.MAX_HOST]
    areas += (("EMAIL_ADDRESS", *match.span()) for match in _TOO_LONG.finditer(text))
    areas += ((PHONE, match.start() - _NEAR, match.end() + _NEAR) for match in _BLANKS.finditer(text))
    for match in _ENDLESS.finditer(text):
        areas += ((entity, match.start() - _NEAR, match.end() + _NEAR) for entity in ("DATE_TIME", "IP_ADDRESS"))
    return areas


_TOO_LONG = regex.compile(
    rf"[^\s@]{{{islands.MAX_LOCAL + 1},}}@[^\s@]*(?:@[^\s@]*)*|[^\s@]*@[^\s@]{{{islands.MAX_DOMAIN},}}(?:@[^\s@]*)*"
)
"""A name that is too long, with the addresses that it runs into."""


def inside(areas: list[tuple[str, int, int]], hit: tuple[str, int, int, float]) -> bool:
    """Does a hit touch one of `areas` of its entity?"""
    return any(entity == hit[0] and start < hit[2] and hit[1] < end for entity, start, end in areas)


def theirs(text: str) -> set[tuple[str, int, int, float]] | None:
    """What Presidio finds; None where it raises, as its checksums do on digits that Python does not know."""
    try:
        results = engine().analyze(text, "en")
    except ValueError:
        return None
    return {(one.entity_type, one.start, one.end, round(one.score, 6)) for one in results}


def found(text: str) -> set[tuple[str, int, int, float]]:
    return {
        (entity, start, end, round(score, 6))
        for entity, hits in ours().find(text).items()
        for start, end, score in hits
    }
