"""Metrics as Prometheus reads them: text format 0.0.4, and OpenMetrics 1.0 for those who ask for it.

Names follow OpenTelemetry's "Prometheus and OpenMetrics Compatibility": a dot becomes an underscore, the unit and
`_total` are appended, so that a scrape and a collector that is sent OTLP show the same names. The labels that name the
instrumentation scope, and the `_created` series, are left out: each would double what is stored and tell nothing new.
"""

import re
from collections.abc import Iterator, Mapping

from gateway.telemetry.instruments import Instrument, Kind
from gateway.telemetry.registry import Labels, Points, Snapshot

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_UNITS = {"s": "seconds"}
"""UCUM's units as Prometheus writes them; others are appended as they are. What stands in braces is no unit."""

_TYPES = {Kind.COUNTER: "counter", Kind.UP_DOWN: "gauge", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}


def content_type(accept: str | None) -> str:
    """The format for a client that sends this `Accept` header (RFC 9110 §12.5.1): OpenMetrics only where it is named
    and nothing else is preferred to it."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for given in (accept or "").lower().split(","):
        kind, *parameters = (part.strip() for part in given.split(";"))
        told = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if kind == "application/openmetrics-text" and told.get("version", "1.0.0").strip('"') not in ("1.0.0", "0.0.1"):
            continue
        for name in ("text/plain",) if kind in ("text/*", "*/*") else (kind,):
            if name in best:
                best[name] = max(best[name], _quality(told.get("q", "1")))
    asked = best["application/openmetrics-text"]
    return OPENMETRICS if asked > 0 and asked >= best["text/plain"] else TEXT


def _quality(said: str) -> float:
    try:
        return float(said)
    except ValueError:
        return 0.0


def render(snapshot: Snapshot, resource: Mapping[str, str], kind: str) -> Iterator[str]:
    """The exposition, a piece per instrument, in the order of the snapshot.

    Args:
        resource: what the service says of itself, told as `target_info`.
        kind: `TEXT` or `OPENMETRICS`.
    """
    openmetrics = kind == OPENMETRICS
    family = "target" if openmetrics else "target_info"
    yield (
        f"# HELP {family} The service these metrics are about.\n"
        f"# TYPE {family} {'info' if openmetrics else 'gauge'}\n"
        f"target_info{_braces(_labels(tuple(resource), tuple(resource.values())))} 1\n"
    )
    for points in snapshot.points:
        yield _family(points, openmetrics)
    if openmetrics:
        yield "# EOF\n"


def name_of(instrument: Instrument) -> str:
    """A metric's name without the suffixes of its type: `gen_ai_client_operation_duration_seconds`."""
    name = _underscored(instrument.name)
    unit = unit_of(instrument)
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def unit_of(instrument: Instrument) -> str:
    """Its unit's name in Prometheus, empty for none."""
    plain = re.sub(r"\{[^}]*\}", "", instrument.unit)
    if plain == "1":  # OpenTelemetry's rule: what has no unit is a ratio, where it is no count
        return "ratio" if instrument.kind is Kind.GAUGE else ""
    return _UNITS.get(plain, plain)


def _underscored(name: str) -> str:
    return re.sub(r"_{2,}", "_", re.sub(r"[^a-zA-Z0-9_:]", "_", name))


def _family(points: Points, openmetrics: bool) -> str:
    instrument = points.instrument
    name, unit = name_of(instrument), unit_of(instrument)
    sample = f"{name}_total" if instrument.kind is Kind.COUNTER else name
    family = name if openmetrics else sample
    lines = [f"# HELP {family} {_help(instrument.description)}", f"# TYPE {family} {_TYPES[instrument.kind]}"]
    if openmetrics and unit:
        lines.append(f"# UNIT {family} {unit}")
    keys = tuple(_underscored(label) for label in instrument.labels)
    for labels, values in points.series.items():
        pairs = _labels(keys, labels)
        if instrument.kind is Kind.HISTOGRAM:
            lines += _histogram(name, pairs, instrument.bounds, values)
        else:
            lines.append(f"{sample}{_braces(pairs)} {_number(values[0])}")
    lines.append("")
    return "\n".join(lines)


def _histogram(name: str, pairs: str, bounds: tuple[float, ...], values: tuple[float, ...]) -> Iterator[str]:
    head = f'{name}_bucket{{{pairs}{"," if pairs else ""}le="'
    so_far = 0
    for bound, count in zip(bounds, values, strict=False):
        so_far += int(count)
        yield f'{head}{bound!r}"}} {so_far}'
    so_far += int(values[-2])
    yield f'{head}+Inf"}} {so_far}'
    yield f"{name}_sum{_braces(pairs)} {values[-1]!r}"
    yield f"{name}_count{_braces(pairs)} {so_far}"


def _labels(keys: tuple[str, ...], labels: Labels) -> str:
    return ",".join(
        f'{_underscored(key)}="{_escaped(value)}"' for key, value in zip(keys, labels, strict=True) if value
    )


def _braces(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value
