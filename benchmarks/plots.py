"""Plots as SVG text, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks.stats import Spread, digits

WIDTH = 760
LABELS = 210
FIGURES = 170
BAR = 18
GAP = 10
TOP = 44
OURS = "#2a78d6"
THEIRS = "#9aa4b0"
INK = "#1f2328"
STYLE = "font-family='system-ui, sans-serif' font-size='13'"


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' "
        f"height='{height}' role='img' aria-label='{escape(title)}' {STYLE}>\n"
        f"<rect width='{WIDTH}' height='{height}' rx='6' fill='#ffffff'/>\n"
        f"<text x='16' y='26' font-weight='600' fill='{INK}'>{escape(title)}</text>\n"
        f"{body}\n</svg>\n"
    )


def bars(title: str, values: Sequence[tuple[str, Spread, bool]]) -> str:
    """Horizontal bars: (label, value, is it ours). The line over a bar is the spread."""
    room = WIDTH - LABELS - FIGURES
    most = max(value.high for _, value, _ in values) or 1.0
    parts = []
    for number, (label, value, ours) in enumerate(values):
        y = TOP + number * (BAR + GAP)
        middle = y + BAR / 2
        width = room * value.median / most
        low, high = (LABELS + room * end / most for end in (value.low, value.high))
        parts += [
            f"<text x='{LABELS - 10}' y='{y + 14}' text-anchor='end' fill='{INK}'>"
            f"{escape(label)}</text>",
            f"<rect x='{LABELS}' y='{y}' width='{width:.1f}' height='{BAR}' rx='2' "
            f"fill='{OURS if ours else THEIRS}'/>",
            f"<path d='M{low:.1f} {middle}H{high:.1f}' stroke='{INK}' stroke-width='1.5'/>",
            f"<text x='{max(high, LABELS + width) + 8:.1f}' y='{y + 14}' fill='{INK}'>"
            f"{digits(value.median)}</text>",
        ]
    return _svg(TOP + len(values) * (BAR + GAP) + 10, title, parts)


def curve(title: str, points: Mapping[int, Spread], unit: str) -> str:
    """One figure over sizes that grow tenfold; the axis of the figure begins at nought."""
    height, left, right, bottom = 260, 70, 30, 40
    sizes = sorted(points)
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])
    most = 1.25 * max(value.high for value in points.values())

    def place(size: int, value: float) -> tuple[float, float]:
        share = (math.log10(size) - first) / ((last - first) or 1.0)
        x = left + share * (WIDTH - left - right)
        return x, height - bottom - (height - bottom - TOP) * value / most

    parts = [
        f"<path d='M{left} {TOP}V{height - bottom}H{WIDTH - right}' fill='none' "
        f"stroke='{THEIRS}'/>",
        f"<text x='{left - 8}' y='{height - bottom}' text-anchor='end' fill='{INK}'>0</text>",
        f"<text x='{left - 8}' y='{TOP + 8}' text-anchor='end' fill='{INK}'>{digits(most)}</text>",
    ]
    line = " ".join("{:.1f},{:.1f}".format(*place(size, points[size].median)) for size in sizes)
    parts.append(f"<polyline points='{line}' fill='none' stroke='{OURS}' stroke-width='2'/>")
    for size in sizes:
        value = points[size]
        (x, y), (_, low), (_, high) = (
            place(size, end) for end in (value.median, value.low, value.high)
        )
        parts += [
            f"<path d='M{x:.1f} {low:.1f}V{high:.1f}' stroke='{INK}' stroke-width='1.5'/>",
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{OURS}'/>",
            f"<text x='{x:.1f}' y='{high - 8:.1f}' text-anchor='middle' fill='{INK}'>"
            f"{digits(value.median)} {escape(unit)}</text>",
            f"<text x='{x:.1f}' y='{height - 16}' text-anchor='middle' fill='{INK}'>"
            f"{size:,}</text>",
        ]
    return _svg(height, title, parts)
