"""What a chaos run came to: a table for the terminal, and a page with the same table and what happened over time."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from tests.chaos import picture
from tests.chaos.clients import Outcome
from tests.chaos.picture import Line, Span
from tests.chaos.rotation import WELLNESS
from tests.chaos.run import NAMES, Report, Stand

_BAR = 1.0
"""Seconds that one bar or point stands for, at least; a longer run has longer ones."""

_STATES = {"closed": "good", "half-open": "middling", "open": "bad"}

_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1f2328; --soft: #59636e; --rule: #d1d9e0;
  --good: #1a7f37; --bad: #cf222e; --middling: #9a6700; --other: #0969da; --on: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --rule: #3d444d;
  --good: #3fb950; --bad: #f85149; --middling: #d29922; --other: #58a6ff; --on: #0d1117; } }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .3rem; } p { margin: .3rem 0; color: var(--soft); }
svg { width: 100%; height: auto; display: block; } table { border-collapse: collapse; }
td { padding: .15rem 1.2rem .15rem 0; border-bottom: 1px solid var(--rule); } td + td { text-align: right; }
.grid { stroke: var(--rule); } .tick { fill: var(--soft); font: 12px system-ui, sans-serif; }
.line { fill: none; stroke-width: 1.6; } .on { fill: var(--on) !important; font: 12px system-ui, sans-serif; }
.line.good { stroke: var(--good); } .line.bad { stroke: var(--bad); } .line.middling { stroke: var(--middling); }
.line.other { stroke: var(--other); } .fill.good { fill: var(--good); } .fill.bad { fill: var(--bad); }
.fill.middling { fill: var(--middling); } .fill.other { fill: var(--other); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
.key.good { background: var(--good); } .key.bad { background: var(--bad); }
.key.middling { background: var(--middling); } .key.other { background: var(--other); }
.kept { color: var(--good); } .broken { color: var(--bad); }
"""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def rows(report: Report) -> list[tuple[str, str]]:
    """The summary: what, and how much."""
    ends = report.ends()
    whole = [outcome for outcome in report.outcomes if outcome.end == "whole"]
    times = [outcome.seconds for outcome in whole if not outcome.stream]
    firsts = [outcome.first for outcome in whole if outcome.first is not None]
    asked = sum(upstream.counts.asked for upstream in report.upstreams.values())
    attempts = Counter(outcome.attempts for outcome in whole)
    books = report.books
    return [
        ("seconds, seed, workers, clients", " ".join(map(str, _settings(report)))),
        ("requests", f"{len(report.outcomes):,}"),
        ("answered whole", f"{ends['whole']:,}"),
        ("streams that broke off and said so", f"{ends['in band']:,}"),
        ("clients that left", f"{ends['left']:,}"),
        ("refused, broken, wrong", f"{ends['refused'] + ends['broken'] + ends['wrong']:,}"),
        ("calls that reached a provider, warming up included", f"{asked:,}"),
        ("answers at the 1st, 2nd, 3rd, later attempt", _spread(attempts)),
        ("ms to a whole answer, p50 p90 p99", _milliseconds(times)),
        ("ms to the first text of a stream, p50 p90 p99", _milliseconds(firsts)),
        ("ledger rows, lost, doubled", f"{books.rows:,} {len(books.lost)} {len(books.doubled)}"),
        ("bills compared, differing", f"{books.compared:,} {len(books.differing)}"),
        ("descriptors at rest, before and after", f"{_sum(report.before)} {_sum(report.after)}"),
        ("tasks at rest, before and after", _tasks(report)),
        ("MB at the end, grown since warm", f"{report.looks[-1].memory:.1f} {report.grown():+.1f}"),
        ("exit status", str(report.exit_status)),
    ]


def _settings(report: Report) -> tuple[float | int, ...]:
    plan = report.plan
    return (plan.seconds, plan.seed, plan.workers, plan.clients)


def _spread(attempts: Counter[int]) -> str:
    later = sum(number for tries, number in attempts.items() if tries > 3)
    return " ".join(f"{number:,}" for number in (attempts[1], attempts[2], attempts[3], later))


def _milliseconds(times: Sequence[float]) -> str:
    return " ".join(f"{percentile(times, share) * 1000:.0f}" for share in (0.5, 0.9, 0.99))


def _sum(stand: Stand) -> int:
    return sum(stand.descriptors.values())


def _tasks(report: Report) -> str:
    before, after = report.before.tasks, report.after.tasks
    return f"{len(before)} {len(after)}" if before is not None and after is not None else "not asked of several workers"


def table(report: Report, console: Console) -> None:
    """Print the summary, and what was promised and broken."""
    made = Table(title="Chaos", title_justify="left", box=None, show_header=False, pad_edge=False)
    made.add_column()
    made.add_column(justify="right")
    for name, value in rows(report):
        made.add_row(name, value)
    console.print(made)
    for said in report.broken_promises():
        console.print(f"[red]broken[/red] {said}")
    if not report.broken_promises():
        console.print("[green]every promise was kept[/green]")


def page(report: Report) -> str:
    """The whole page."""
    seconds = report.plan.seconds
    summary = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows(report))
    broken = report.broken_promises()
    verdict = (
        "".join(f'<p class="broken">{escape(said)}</p>' for said in broken)
        or '<p class="kept">Every promise was kept.</p>'
    )
    parts = [
        f"<h1>Chaos: {seconds:g} seconds, seed {report.plan.seed}</h1>{verdict}<table>{summary}</table>",
        _section(
            "Requests a second, by how they ended",
            (("good", "answered"), ("middling", "broke off in band"), ("other", "client left"), ("bad", "failed")),
            _ended(report),
        ),
        _section(
            "Milliseconds to a whole answer", (("good", "p50"), ("middling", "p90"), ("bad", "p99")), _waited(report)
        ),
        _section(
            "What is wrong with each deployment, and below it how the gateway sees it",
            (("good", "well, or closed"), ("middling", "slow, or half open"), ("bad", "ill, or open")),
            _states(report),
        ),
        _section(
            "Answers a second, by deployment", (("other", "a"), ("good", "b"), ("middling", "c")), _shares(report)
        ),
        _section("Memory, MB", (("other", "resident"),), _memory(report)),
        _section("Open descriptors", (("other", "all kinds"),), _descriptors(report)),
    ]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return f"{head}<title>Chaos run</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"


def _section(title: str, keys: Iterable[tuple[str, str]], drawn: str) -> str:
    legend = "".join(f'<span class="key {colour}"></span>{escape(name)}' for colour, name in keys)
    return f"<h2>{escape(title)}</h2><p>{legend}</p>{drawn}"


def _width(report: Report) -> float:
    return max(_BAR, report.plan.seconds / 120)


def _binned(report: Report, value: Callable[[list[Outcome]], float]) -> list[tuple[float, float]]:
    """A value of the requests that began in each stretch of the run."""
    width = _width(report)
    bins: list[list[Outcome]] = [[] for _ in range(max(1, int(report.plan.seconds / width)))]
    for outcome in report.outcomes:
        bins[min(int(outcome.at / width), len(bins) - 1)].append(outcome)
    return [(number * width, value(each)) for number, each in enumerate(bins)]


def _ended(report: Report) -> str:
    width = _width(report)
    kinds = (
        ("answered", "good", {"whole"}),
        ("broke off in band", "middling", {"in band"}),
        ("left", "other", {"left"}),
        ("failed", "bad", {"refused", "broken", "wrong"}),
    )

    def rate(ends: set[str]) -> Callable[[list[Outcome]], float]:
        return lambda outcomes: sum(outcome.end in ends for outcome in outcomes) / width

    bars = [Line(name, colour, _binned(report, rate(ends))) for name, colour, ends in kinds]
    return picture.stacked("Requests a second", report.plan.seconds, width, bars)


def _waited(report: Report) -> str:
    def late(share: float) -> Callable[[list[Outcome]], float]:
        return lambda outcomes: 1000 * percentile([each.seconds for each in outcomes if each.end == "whole"], share)

    curves = (("p50", "good", 0.5), ("p90", "middling", 0.9), ("p99", "bad", 0.99))
    made = [Line(name, colour, _binned(report, late(share))) for name, colour, share in curves]
    return picture.lines("Milliseconds", " ms", report.plan.seconds, made)


def _states(report: Report) -> str:
    strips: list[tuple[str, list[Span]]] = []
    seconds = report.plan.seconds
    ends = [*(turn.at for turn in report.turns[1:]), seconds]
    for name in NAMES:
        truth = [
            Span(turn.at, end, _colour(turn.states[name]), turn.states[name])
            for turn, end in zip(report.turns, ends, strict=True)
        ]
        strips.append((name, _joined(truth)))
        seen = [
            Span(look.at, following.at, _STATES.get(look.states[name], "other"), look.states[name])
            for look, following in pairwise(report.looks)
            if name in look.states
        ]
        strips.append(("seen", _joined(seen)))
    return picture.strips("States of the deployments", seconds, strips)


def _colour(state: str) -> str:
    return {WELLNESS: "good", "slow": "middling"}.get(state, "bad")


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Equal neighbours as one."""
    made: list[Span] = []
    for span in spans:
        if made and made[-1].said == span.said and abs(made[-1].end - span.begin) < 0.01:
            made[-1] = Span(made[-1].begin, span.end, span.colour, span.said)
        else:
            made.append(span)
    return made


def _shares(report: Report) -> str:
    width = _width(report)

    def rate(name: str) -> Callable[[list[Outcome]], float]:
        return lambda outcomes: sum(each.deployment == name and each.end == "whole" for each in outcomes) / width

    colours = zip(NAMES, ("other", "good", "middling"), strict=True)
    bars = [Line(name, colour, _binned(report, rate(name))) for name, colour in colours]
    return picture.stacked("Answers a second", report.plan.seconds, width, bars)


def _memory(report: Report) -> str:
    points = [(look.at, look.memory) for look in report.looks]
    return picture.lines("Memory", " MB", report.plan.seconds, [Line("resident", "other", points)], 120)


def _descriptors(report: Report) -> str:
    points = [(look.at, float(look.descriptors)) for look in report.looks]
    return picture.lines("Descriptors", "", report.plan.seconds, [Line("open", "other", points)], 120)
