"""A Grafana dashboard's panels as one SVG: enough of Grafana's drawing for a picture, and no more."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Series = tuple[str, Sequence[tuple[float, float]]]
"""A legend, and (seconds since 1970, value)."""

Ask = Callable[[str], list[dict[str, Any]]]

CELL, ROW = 58, 27
"""Pixels of a dashboard's column and of its row."""

COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#c0d8ff")
STYLE = (
    "text{font:12px Inter,Helvetica,Arial,sans-serif;fill:#ccccdc}"
    ".title{font-weight:600;fill:#e6e6ee}.faint{fill:#8e8e9c;font-size:11px}.big{font-size:26px;font-weight:600}"
)


def dashboard(source: Mapping[str, Any], ask: Ask) -> str:
    """The whole dashboard; `ask` answers a PromQL query with a matrix of Prometheus."""
    panels = source["panels"]
    width = 24 * CELL + 16
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW + 48
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#111217"/>',
        f'<text x="12" y="26" class="title" style="font-size:15px">{escape(source["title"])}</text>',
    ]
    parts += [_panel(panel, _answers(panel, ask)) for panel in panels]
    return "\n".join([*parts, "</svg>\n"])


def _answers(panel: Mapping[str, Any], ask: Ask) -> list[Series]:
    found: list[Series] = []
    for target in panel.get("targets", ()):
        for each in ask(target["expr"]):
            points = [(float(at), float(value)) for at, value in each["values"] if value != "NaN"]
            if points:
                found.append((_legend(target.get("legendFormat", ""), each["metric"]), points))
    return found


def _legend(form: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
    return form if form not in ("", "__auto") else ", ".join(labels.values())


def _panel(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    place = panel["gridPos"]
    left, top = place["x"] * CELL + 8, place["y"] * ROW + 40
    width, height = place["w"] * CELL - 8, place["h"] * ROW - 8
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
    inner = (_INNER.get(panel["type"], _lines) if series else _nothing)(series, width, height, unit)
    return (
        f'<g transform="translate({left},{top})"><rect width="{width}" height="{height}" rx="3" fill="#181b1f" '
        f'stroke="#2a2d33"/><text x="10" y="19" class="title">{escape(panel["title"])}</text>{inner}</g>'
    )


def _nothing(_series: Sequence[Series], width: int, height: int, _unit: str) -> str:
    return f'<text x="{width / 2:.0f}" y="{height / 2 + 8:.0f}" text-anchor="middle" class="faint">No data</text>'


def _stat(series: Sequence[Series], width: int, height: int, unit: str) -> str:
    value = shown(series[0][1][-1][1], unit)
    return f'<text x="{width / 2:.0f}" y="{height / 2 + 18:.0f}" text-anchor="middle" class="big">{value}</text>'


def _bars(series: Sequence[Series], width: int, height: int, unit: str) -> str:
    last = sorted(((points[-1][1], name) for name, points in series), reverse=True)
    whole = sum(value for value, _ in last) or 1.0
    parts = []
    for number, (value, name) in enumerate(last[: (height - 40) // 30]):
        y, share = 36 + number * 30, value / whole
        colour = COLOURS[number % len(COLOURS)]
        said = f"{escape(name)} · {shown(value, unit)} · {share:.0%}"
        parts.append(
            f'<rect x="10" y="{y + 16}" width="{max(2.0, share * (width - 20)):.0f}" height="8" fill="{colour}"/>'
            f'<text x="10" y="{y + 11}">{said}</text>'
        )
    return "".join(parts)


def _lines(series: Sequence[Series], width: int, height: int, unit: str) -> str:
    times = [at for _, points in series for at, _ in points]
    first, last = min(times), max(times)
    most = max(value for _, points in series for _, value in points) or 1.0
    left, right, top, bottom = 64, width - 22, 32, height - 46

    def x(at: float) -> float:
        return left + (at - first) / ((last - first) or 1.0) * (right - left)

    def y(value: float) -> float:
        return bottom - value / most * (bottom - top)

    parts = []
    for step in range(4):
        value = most * step / 3
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#2a2d33"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.0f}" text-anchor="end" class="faint">{shown(value, unit)}</text>'
        )
    for minute in range(int((last - first) // 60) + 1):
        when = x(first + 60 * minute)
        parts.append(f'<text x="{when:.0f}" y="{bottom + 14}" text-anchor="middle" class="faint">{minute} min</text>')
    at = left
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(when):.1f},{y(value):.1f}" for when, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(
            f'<rect x="{at}" y="{height - 19}" width="12" height="3" fill="{colour}"/>'
            f'<text x="{at + 16}" y="{height - 13}" class="faint">{escape(name)}</text>'
        )
        at += 34 + 6 * len(name)
    return "".join(parts)


_INNER: Mapping[str, Callable[[Sequence[Series], int, int, str], str]] = {
    "stat": _stat,
    "piechart": _bars,
    "bargauge": _bars,
}


def shown(value: float, unit: str) -> str:
    """A number as a person reads it, in Grafana's units that the dashboards use."""
    if value == 0:
        return "$0" if unit == "currencyUSD" else "0"
    if unit == "currencyUSD":
        return f"${value:.{2 if value >= 1 else 4 if value >= 0.001 else 6}f}"
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"
