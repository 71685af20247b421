"""How good the guard `injection` is, source by source: recall at its threshold and at 1 % false positives.

`python tests/benchmarks/injection_quality.py [--data FILE.jsonl]`. A line of the file is a text, whether it is an
attack, and where it comes from: `{"text": "…", "label": true, "source": "…"}`. Without a file it takes the texts the
rules were developed against (`tests/guards/injection_cases.py`), on which the figures say little.

The threshold of 1 % is the least at which no more than one in a hundred of all texts that are no attack is reported;
below it stands, for each source of such texts, what is taken for an attack: texts that merely talk about such words are
a source of their own, and read as such. `--show N` prints the first N faults of each source.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from gateway.guards.injection import InjectionConfig, build
from tests.guards.injection_cases import ATTACKS, BENIGN

SHARE = 0.01
"""False positives allowed among the texts that are no attack."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text and its score."""

    text: str
    label: bool
    source: str
    score: float


def read(file: Path | None) -> Iterable[tuple[str, bool, str]]:
    """The labelled texts of `file`, or our own."""
    if file is None:
        yield from ((text, True, "own attacks") for text in ATTACKS.values())
        yield from ((text, False, "own near misses") for text in BENIGN.values())
        return
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                yield row["text"], bool(row["label"]), row.get("source", "")


def strict(scores: Sequence[float], share: float) -> float:
    """The least threshold that at most `share` of `scores` reach."""
    allowed = int(share * len(scores))
    highest = sorted(scores, reverse=True)
    return max(highest[allowed] + 1e-9, 1e-9) if allowed < len(highest) else 1e-9


def by_source(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    """`rows` by where they come from, largest source first."""
    sources: dict[str, list[Row]] = {}
    for row in rows:
        sources.setdefault(row.source, []).append(row)
    return dict(sorted(sources.items(), key=lambda item: -len(item[1])))


def reached(rows: Sequence[Row], threshold: float) -> str:
    """How many of `rows` reach the threshold, in percent."""
    return f"{100 * sum(row.score >= threshold for row in rows) / max(1, len(rows)):6.1f} %"


def faults(rows: Sequence[Row], threshold: float, most: int) -> None:
    """Print the first texts that are on the wrong side of the threshold."""
    for row in [row for row in rows if (row.score >= threshold) != row.label][:most]:
        print(f"    {row.score:.2f} {row.text[:300]!r}")


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, help="labelled texts, one JSON object on a line")
    arguments.add_argument("--threshold", type=float, default=InjectionConfig().threshold)
    arguments.add_argument("--show", type=int, default=0, metavar="N", help="print N faults of each source")
    asked = arguments.parse_args()
    guard = build(InjectionConfig())
    rows = [Row(text, label, source, guard.weigh(text)[1]) for text, label, source in read(asked.data)]
    attacks, others = [row for row in rows if row.label], [row for row in rows if not row.label]
    at_share = strict([row.score for row in others], SHARE)
    print(f"{len(attacks)} attacks, {len(others)} other texts; {SHARE:.0%} false positives from {at_share:.2f} on")
    for title, group in (("attacks found", attacks), ("others taken for attacks", others)):
        print(f"\n{title:<36}{'texts':>7}{f'at {asked.threshold:.2f}':>10}{'at 1 %':>10}")
        for source, some in [*by_source(group).items(), ("all", group)]:
            print(f"  {source:<34}{len(some):>7}{reached(some, asked.threshold):>10}{reached(some, at_share):>10}")
            if source != "all":
                faults(some, asked.threshold, asked.show)


if __name__ == "__main__":
    main()
