"""Presidio's own `AnalyzerEngine` over the recognizers, thresholds and context rule of our guard, to compare with."""

from functools import cache
from typing import Any

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from gateway.guards.pii import context
from gateway.guards.pii.defaults import KNOWN, REGIONS
from gateway.guards.pii.detect import Detector, detector
from gateway.guards.pii.recognizers import presidio


class WordsBefore(ContextAwareEnhancer):
    """Our context rule as an engine takes it: whole words, of what stands before a match."""

    def __init__(self) -> None:
        super().__init__(context.BOOST, context.LEAST, context.WORDS, 0)

    def enhance_using_context(
        self, text: str, raw_results: Any, nlp_artifacts: Any, recognizers: Any, context_: Any = None, **_: Any
    ) -> Any:
        words = {one.id: context.phrases(one.context) for one in recognizers}
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
