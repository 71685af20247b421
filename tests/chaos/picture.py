"""Charts as inline SVG, for a page that needs nothing else: no script, no font, no network.

Colours are named in the page's style sheet, once for light and once for dark.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 960, 64, 12
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: (seconds, value) in ascending order; `colour` is a class of the style sheet."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """A coloured stretch of time in a strip, with the words that appear over it."""

    begin: float
    end: float
    colour: str
    said: str


def _x(at: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at / seconds


def _svg(height: int, title: str, inner: str) -> str:
    label = escape(title)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"><title>{label}</title>{inner}</svg>'


def _axis(seconds: float, height: int) -> str:
    """Times along the bottom."""
    step = next(each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 3600) if seconds / each <= 10)
    marks = []
    at = 0
    while at <= seconds:
        marks.append(
            f'<text class="tick" x="{_x(at, seconds):.1f}" y="{height - 4}" text-anchor="middle">{at} s</text>'
        )
        at += step
    return "".join(marks)


def nice(most: float) -> float:
    """The next number above `most` of the form 1, 2 or 5 times a power of ten."""
    scale = 1.0
    while scale * 10 <= most:
        scale *= 10
    while scale > most > 0:
        scale /= 10
    return next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= most)


def lines(title: str, unit: str, seconds: float, curves: Sequence[Line], height: int = 180) -> str:
    """Curves over time, from zero up."""
    most = nice(max((value for curve in curves for _, value in curve.points), default=1.0) or 1.0)
    top, bottom = 10, height - 22

    def y(value: float) -> float:
        return bottom - (bottom - top) * value / most

    drawn = [_grid(most, unit, y)]
    for curve in curves:
        points = " ".join(f"{_x(at, seconds):.1f},{y(value):.1f}" for at, value in curve.points)
        drawn.append(
            f'<polyline class="line {curve.colour}" points="{points}"><title>{escape(curve.name)}</title></polyline>'
        )
    return _svg(height, title, "".join(drawn) + _axis(seconds, height))


def _grid(most: float, unit: str, y: Callable[[float], float]) -> str:
    drawn = []
    for step in range(_TICKS + 1):
        value = most * step / _TICKS
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        drawn.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}{unit}</text>'
        )
    return "".join(drawn)


def stacked(title: str, seconds: float, width: float, kinds: Sequence[Line], height: int = 180) -> str:
    """Bars of `width` seconds, each kind on top of the one before; every kind has a value for each bar."""
    columns = list(zip(*(kind.points for kind in kinds), strict=True))
    most = nice(max((sum(value for _, value in column) for column in columns), default=1.0) or 1.0)
    top, bottom = 10, height - 22

    def y(value: float) -> float:
        return bottom - (bottom - top) * value / most

    drawn = [_grid(most, "", y)]
    for column in columns:
        under = 0.0
        for kind, (at, value) in zip(kinds, column, strict=True):
            if value:
                x, wide = _x(at, seconds), max(_x(at + width, seconds) - _x(at, seconds) - 0.5, 0.5)
                high = y(under) - y(under + value)
                box = f'x="{x:.1f}" y="{y(under + value):.1f}" width="{wide:.1f}" height="{high:.1f}"'
                drawn.append(
                    f'<rect class="fill {kind.colour}" {box}><title>{value:g} {escape(kind.name)}</title></rect>'
                )
            under += value
    return _svg(height, title, "".join(drawn) + _axis(seconds, height))


def strips(title: str, seconds: float, rows: Sequence[tuple[str, Sequence[Span]]]) -> str:
    """One strip of stretches for each row, with words where they fit."""
    each = 26
    height = each * len(rows) + 26
    drawn = []
    for number, (name, spans) in enumerate(rows):
        top = 4 + number * each
        drawn.append(f'<text class="tick" x="{LEFT - 6}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        for span in spans:
            x, wide = _x(span.begin, seconds), _x(span.end, seconds) - _x(span.begin, seconds)
            box = f'x="{x:.1f}" y="{top}" width="{max(wide - 1, 0.5):.1f}" height="{each - 6}"'
            drawn.append(f'<rect class="fill {span.colour}" {box}><title>{escape(span.said)}</title></rect>')
            if wide > 8 + 7 * len(span.said):
                drawn.append(
                    f'<text class="on {span.colour}" x="{x + 4:.1f}" y="{top + 14}">{escape(span.said)}</text>'
                )
    return _svg(height, title, "".join(drawn) + _axis(seconds, height))
