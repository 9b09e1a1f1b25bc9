"""A dashboard of Grafana's as a picture: its panels where they are there, with lines."""

from html import escape
from typing import NamedTuple

# Of the grid, in pixels.
COLUMN, ROW, GAP = 52, 27, 8
HEAD = 62
COLOURS = ["#56a64b", "#f2cc0c", "#3274d9", "#e02f44", "#8f3bb8", "#ff780a", "#37872d", "#5794f2", "#b877d9", "#c4162a"]
# In a legend.
SMALL_LETTER, CAPITAL = 5.3, 7.0
ROWS = 4


class Line(NamedTuple):
    name: str
    # Seconds, value.
    points: list[tuple[float, float]]


class Panel(NamedTuple):
    title: str
    # x, y, w, h in the grid.
    place: dict
    is_row: bool
    unit: str
    lines: list[Line]


def svg(title: str, panels: list[Panel], parts: list[str], part: float, step: float) -> str:
    """`parts` follow each other, each for `part` seconds: they are named above, by numbers in the panels. Points
    that follow each other are `step` seconds apart."""
    width = 24 * COLUMN + GAP
    height = HEAD + max(panel.place["y"] + panel.place["h"] for panel in panels) * ROW + GAP
    legend = " · ".join(f"{number} {name}" for number, name in enumerate(parts, 1))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="10" fill="#44474d" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>',
        text(GAP * 2, 26, title, 'font-size="18" fill="#222222"'),
        text(GAP * 2, 46, f"The parts, of {part} s each: {legend}", 'font-size="12"'),
    ]
    for panel in panels:
        x, y = panel.place["x"] * COLUMN + GAP, HEAD + panel.place["y"] * ROW
        if panel.is_row:
            out.append(text(x + GAP, y + 19, panel.title, 'font-size="14" font-weight="bold"'))
        else:
            size = panel.place["w"] * COLUMN - GAP, panel.place["h"] * ROW - GAP
            out.append(f'<g transform="translate({x},{y})">{inside(panel, *size, len(parts), part, step)}</g>')
    return "\n".join([*out, "</svg>\n"])


def inside(panel: Panel, width: float, height: float, parts: int, part: float, step: float) -> str:
    names = legend(panel.lines, width - 2 * GAP)
    left, top, right, bottom = 58, 26, width - GAP, height - 20 - 13 * len(names)
    peak = max((value for line in panel.lines for _, value in line.points), default=0)
    scale = 2**20 if panel.unit == "bytes" else 1
    tick = nice(peak / scale / 3.2 if peak else 1) * scale
    most = tick * max(1, -(-peak // tick))

    def across(seconds):
        return left + (right - left) * seconds / (parts * part)

    def up(value):
        return bottom - (bottom - top) * value / most

    out = [f'<rect width="{width}" height="{height}" fill="#ffffff" stroke="#dddddd"/>']
    out.append(text(GAP, 17, panel.title, 'font-size="12" font-weight="bold"'))
    for number in range(round(most / tick) + 1):
        y = round(up(number * tick), 1)
        out.append(f'<path d="M{left} {y}H{right}" stroke="#e6e6e6"/>')
        out.append(text(left - 4, y + 3, written(number * tick, panel.unit), 'text-anchor="end"'))
    for number in range(parts):
        if number:
            out.append(f'<path d="M{across(number * part):.1f} {top}V{bottom}" stroke="#cccccc" stroke-dasharray="2 3"/>')
        out.append(text(across((number + 0.5) * part), bottom + 12, str(number + 1), 'text-anchor="middle"'))
    for number, line in enumerate(panel.lines):
        for points in unbroken(line.points, step):
            path = " ".join(f"{across(at):.0f},{up(value):.1f}" for at, value in points)
            out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.3"/>')
    for row, entries in enumerate(names):
        y = bottom + 27 + 13 * row
        for x, number, name in entries:
            if number is not None:
                out.append(f'<rect x="{x:.0f}" y="{y - 5}" width="9" height="3" fill="{COLOURS[number % len(COLOURS)]}"/>')
            out.append(text(x + 12, y, name, ""))
    return "".join(out)


def legend(lines: list[Line], width: float) -> list[list[tuple]]:
    """Rows of x, number of the line, and name; as many as there is place for."""
    rows, x = [[]], GAP
    for number, line in enumerate(lines):
        wide = 24 + sum(CAPITAL if letter.isupper() else SMALL_LETTER for letter in line.name)
        if x + wide > width and rows[-1]:
            if len(rows) == ROWS:
                rows[-1] = [(GAP, None, f"and {len(lines) - number + len(rows[-1])} more")]
                break
            rows.append([])
            x = GAP
        rows[-1].append((x, number, line.name))
        x += wide
    return rows


def unbroken(points, step):
    """Parts of a line without gaps."""
    parts = []
    for point in points:
        if not parts or point[0] - parts[-1][-1][0] > 1.5 * step:
            parts.append([])
        parts[-1].append(point)
    return parts


def nice(step: float) -> float:
    """The next of 1, 2, 5, 10, …"""
    size = 10 ** (len(f"{step:.0f}") - 1) if step >= 1 else 1.0
    while size > step:
        size /= 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= step * 0.999)


def written(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "reqps":
            return f"{value:.3g}/s"
        case "s":
            return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
        case "bytes":
            return f"{value / 2**20:.3g} MiB"
        case _:
            return f"{value:.3g}"


def text(x, y, words, style) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(words)}</text>'
