"""How the commands show what they found, as values for JSON and as tables: policies, labelled text, benchmarks."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli import output
from gateway.cli.judging import Tested
from gateway.cli.measuring import Measured
from gateway.config.load import Loaded
from gateway.wire import json


def deployments(found: Loaded) -> list[dict[str, str]]:
    """The deployments of a configuration, in its order."""
    return [
        {"alias": each.alias, "provider": each.provider, "model": each.model, "deployment": each.id}
        for each in found.settings.deployments
    ]


def checked_json(found: Loaded, tested: Sequence[Tested]) -> dict[str, Any]:
    """What `gateway check` tells a program of a configuration without faults."""
    return {
        "ok": True,
        "config": found.source.name,
        "deployments": deployments(found),
        "policies": [tested_row(each) for each in tested],
        "warnings": list(found.settings.warnings),
    }


def show_checked(found: Loaded, tested: Sequence[Tested]) -> None:
    """A configuration without faults."""
    rows = [tuple(row.values()) for row in deployments(found)]
    output.table("", ("ALIAS", "PROVIDER", "MODEL", "DEPLOYMENT"), rows)
    show_tested(tested)
    output.out.print(f"[green]ok[/green]  {found.source.name}", highlight=False)


def show_explained(said: Mapping[str, Any]) -> None:
    """What `gateway explain` found: a line for each thing, then the calls."""
    route = said.get("route")
    lines = {name: value for name, value in said.items() if name not in ("calls", "route")}
    output.pairs(
        {name: value if isinstance(value, str) else json.dumps(value).decode() for name, value in lines.items()}
    )
    if route is not None:
        _show_route(route)
    for call in said.get("calls", ()):
        output.say(f"\n{call['method']} {call['url']}")
        output.out.print_json(data=call["body"])


_COLUMNS = ("id", "model", "order", "weight", "share", "health", "left_out")


def _show_route(route: Mapping[str, Any]) -> None:
    """The deployments in the order in which they are considered, and what follows when none of them answers."""
    rows = [tuple(str(each.get(name, "")) for name in _COLUMNS) for each in route["deployments"]]
    title = f"{route['strategy']}, {route['retries']} retries"
    output.table(title, tuple(name.upper().replace("_", " ") for name in _COLUMNS), rows)
    for kind, names in route.items():
        if kind.endswith("fallbacks"):
            told = ", ".join(f"{each['model']} ({', '.join(each['deployments'])})" for each in names)
            output.say(f"{kind}: {told}")


def tested_row(each: Tested) -> dict[str, Any]:
    """A policy and how many of its tests passed."""
    policy, passed = each.loaded.policy, sum(result.passed for result in each.results)
    return {"policy": policy.policy, "version": policy.version, "tests": len(each.results), "passed": passed}


def tested_json(tested: Sequence[Tested]) -> dict[str, Any]:
    """What `gateway policies test` tells a program."""
    rows = []
    for each in tested:
        row = {**tested_row(each), "faults": each.faults}
        rows.append({**row, "measured": each.measured.as_dict()} if each.measured is not None else row)
    return {"data": rows}


def show_tested(tested: Sequence[Tested]) -> None:
    """Each policy with its tests, and below what was measured."""
    rows = [tuple(map(str, tested_row(each).values())) for each in tested]
    output.table("", ("POLICY", "VERSION", "TESTS", "PASSED"), rows, numbers=3)
    for each in tested:
        if each.measured is not None:
            _show_measured(each.loaded.policy.policy, each.measured)


_RULES = {
    "overlap": "one shared character with a label of the same entity counts",
    "exact": "only the very positions of a label of the same entity count",
}


def _show_measured(policy: str, measured: Measured) -> None:
    said = measured.as_dict()
    rows = [*said["entities"], {"entity": "all that are labelled", **said["total"]}]
    cells = [
        (row["entity"], str(row["labelled"]), str(row["found"]), *(_share(row[name]) for name in _SHARES))
        for row in rows
    ]
    output.out.print()
    output.table("", (policy.upper(), "LABELLED", "FOUND", "PRECISION", "RECALL", "F2"), cells, numbers=5)
    latency = ", ".join(f"{name} {value:,.0f} µs" for name, value in measured.latencies().items())
    texts = len(measured.microseconds)
    left_out = f", {measured.left_out} of another stage left out" if measured.left_out else ""
    output.say(f"{texts:,} texts, {measured.characters:,} characters{left_out}; {_RULES[measured.matching]}")
    output.say(f"a text takes {latency}; {measured.per_thousand():,.0f} µs per 1,000 characters")


_SHARES = ("precision", "recall", "f2")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


_BENCH = ("p50_ms", "p99_ms", "first_ms", "added_ms", "requests_per_s", "ratio")


def show_bench(said: Mapping[str, Any]) -> None:
    """What `gateway bench` measured."""
    failed = any(row["errors"] for row in said["rows"])
    columns = ["ANSWERS", "PATH", "P50 MS", "P99 MS", "FIRST MS", "ADDED MS", "REQ/S", "RATIO"]
    rows = []
    for row in said["rows"]:
        cells = ["streamed" if row["stream"] else "whole", row["path"], *(_number(row[name]) for name in _BENCH)]
        rows.append([*cells, str(row["errors"])] if failed else cells)
    output.table("", [*columns, "FAILED"] if failed else columns, rows, numbers=6 + failed)
    output.say(
        f"milliseconds are of one request at a time, req/s of {said['connections']}; prompts of "
        f"{said['prompt_characters']:,} characters, no two the same; {said['cores']} cores for client and servers "
        "together: read differences and ratios"
    )
    if "policies" in said:
        output.say(
            f"upstream on loopback, answers of {said['answer_characters']} characters at once or in "
            f"{said['answer_chunks']} chunks; policies: {', '.join(said['policies']) or 'none'}"
        )
        if said["asked_elsewhere"]:
            output.say(
                f"guards that ask somebody else, whose time is in the table: {', '.join(said['asked_elsewhere'])}"
            )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
