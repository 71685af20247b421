"""Presidio's own `AnalyzerEngine` over the recognizers, thresholds and context rule of our guard, to compare with."""

from functools import cache
from typing import Any

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from gateway.guards.pii import context, islands, phone, rows
from gateway.guards.pii.defaults import KNOWN, REGIONS
from gateway.guards.pii.detect import Detector, addresses, detector
from gateway.guards.pii.recognizers import presidio

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


def beyond(text: str) -> list[tuple[str, int, int]]:
    """Entities and where our answers may be others than Presidio's, as `gateway.guards.pii.detect` says: rows of
    matches that overlap, or overlap a long one, runs of digits too long for a number, too long names of machines."""
    areas = [("PHONE_NUMBER", *run) for run in phone.runs(text) if run[1] - run[0] > phone.LONGEST]
    hosts = (match.span() for match in islands.HOST.finditer(text))
    areas += (("URL", start, end) for start, end in hosts if end - start > islands.MAX_HOST)
    for one in ours().recognizers:
        for pattern in one.patterns:
            if not pattern.alone:
                spans = addresses(one, text) if one.cut == "email" else pattern.spans(text)
                found = (group for group in rows.groups(spans) if rows.is_row(group))
                areas += ((one.entity, group[0][0], max(end for _, end in group)) for group in found)
                long = (span for span in spans if span[1] - span[0] > rows.LONGEST)
                areas += ((one.entity, start - rows.LONGEST, end) for start, end in long)
    return areas


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
