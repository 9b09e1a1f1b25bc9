"""Tables in Markdown and curves in SVG."""

import html
import math

from .access import ACCESS, PLAIN
from .measure import DELAY, median
from .operations import OPERATIONS
from .subjects import SUBJECTS
from .tools import ROOT

PAGE = ROOT / "docs" / "performance.md"
CURVES = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- Made by bench/run -->", "<!-- End of what is made by it -->"


def write(results: dict):
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}")
    CURVES.write_text(svg(results))


# === Tables ===


def tables(results: dict) -> str:
    about = results["about"]
    text = (
        f"Medians of {about['rounds']} rounds, {about['date']}, commit {about['commit']}; {about['cpu']}; "
        f"load average before it {about['load_average']:.2f}.\n\n"
    )
    for operation, seen in results.get("saturation", {}).items():
        waiting = results.get("memory", {}).get(operation, {})
        text += f"**{operation}, saturated**\n\n" + note(operation) + saturation(seen, waiting)
    for operation, seen in results.get("memory", {}).items():
        if operation not in results.get("saturation", {}):
            text += f"**{operation}, waiting for an upstream that never responds**\n\n" + memory(seen)
    for operation, seen in results.get("latency", {}).items():
        text += f"**{operation}, below saturation** (p50 / p99 / p99.9 in µs, from when a call should have begun)\n\n" + latency(seen)
    for name, seen in results.get("tls", {}).items():
        text += f"**{name}**\n\n" + saturation(seen, {})
    if seen := results.get("access"):
        text += "**Access: Create, on 8 connections that are kept**\n\n" + access(seen, "kept", "request")
        text += "**Access: Create, a new connection for each call**\n\n" + access(seen, "fresh", "call")
    for operation, seen in results.get("steady", {}).items():
        text += f"**{operation}, minute after minute at half of saturation**\n\n" + steady(seen)
    for operation, seen in results.get("delay", {}).items():
        text += f"**{operation}, an upstream that takes {DELAY} ms** (requests/s, p99 in ms)\n\n" + delay(seen)
    return text


def note(operation: str) -> str:
    text = OPERATIONS[operation].note
    return f"{text}\n\n" if text else ""


def saturation(seen: dict, waiting: dict) -> str:
    of_envoys = ["of Envoy's"] if "envoy" in seen else []
    head = ["", "requests/s", *of_envoys, "CPU µs a request", *of_envoys, "of its core", "RSS idle", "loaded, MiB"]
    head += ["a waiting call, kB"] if waiting else []
    rows = []
    for subject in present(seen):
        runs = seen[subject.name]
        row = [subject.label, f"{median(runs, 'rate'):,.0f}", *share(seen, subject, "rate")]
        row += [f"{median(runs, 'cpu_us'):.0f}", *share(seen, subject, "cpu_us"), f"{median(runs, 'core'):.0%}"]
        row += [f"{median(runs, 'idle'):.0f}", f"{median(runs, 'loaded'):.0f}"]
        if waiting:
            row.append(f"{median(waiting[subject.name], 'kb_each'):.0f}" if subject.name in waiting else "")
        rows.append(row)
    return table(head, rows)


def access(seen: dict, loop: str, what: str) -> str:
    beside = ["of plain", "of Envoy's"]
    rows = []
    for subject in present(seen[PLAIN.name]):
        for how in (how.name for how in ACCESS if subject.name in seen[how.name]):
            runs = {name: [run[loop] for run in runs] for name, runs in seen[how].items()}
            plain = [run[loop] for run in seen[PLAIN.name][subject.name]]
            row = [f"{subject.label}, {how}"]
            for field in ("rate", "cpu_us"):
                value = median(runs[subject.name], field)
                row += [f"{value:,.0f}", f"{value / median(plain, field):.2f}", *(share(runs, subject, field) or [""])]
            rows.append([*row, f"{median(runs[subject.name], 'core'):.0%}"])
    return table(["", f"{what}s/s", *beside, f"CPU µs a {what}", *beside, "of its core"], rows)


def memory(seen: dict) -> str:
    """On its own, where saturation was not measured, whose table has it otherwise."""
    head = ["", "RSS idle", "holding, MiB", "calls", "a waiting call, kB"]
    rows = []
    for subject in present(seen):
        runs = seen[subject.name]
        row = [subject.label, f"{median(runs, 'idle'):.0f}", f"{median(runs, 'holding'):.0f}"]
        rows.append([*row, f"{runs[0]['count']:,}", f"{median(runs, 'kb_each'):.1f}"])
    return table(head, rows)


def steady(seen: dict) -> str:
    rows = []
    for subject in present(seen):
        runs = seen[subject.name]
        memory = ", ".join(f"{run['rss']:.1f}" for run in runs)
        rows.append([subject.label, f"{runs[0]['wanted']:,}", memory])
    return table(["", "requests/s", "RSS after each minute, MiB"], rows)


def share(seen: dict, subject, field: str) -> list:
    """The cell beside a figure, if Envoy was measured too."""
    if "envoy" not in seen:
        return []
    return [f"{median(seen[subject.name], field) / median(seen['envoy'], field):.2f}"]


def latency(seen: dict) -> str:
    common = next(iter(seen.values()))[0]["common"]["wanted"]
    head = ["", f"at {common:,}/s", "at half of its own", "which is", "RSS there, MiB"]
    rows = []
    for subject in present(seen):
        at_common = [run["common"] for run in seen[subject.name]]
        at_half = [run["half"] for run in seen[subject.name]]
        row = [subject.label, percentiles(at_common), percentiles(at_half)]
        rows.append([*row, f"{at_half[0]['wanted']:,}/s", f"{median(at_half, 'rss'):.0f}"])
    return table(head, rows)


def percentiles(runs: list) -> str:
    times = " / ".join(f"{median(runs, field):,.0f}" for field in ("p50", "p99", "p999"))
    failed = sum(run["failed"] for run in runs)
    return f"{times}; {failed:,} failed" if failed else times


def delay(seen: dict) -> str:
    callers = [point["callers"] for point in next(iter(seen.values()))[0]]
    head = ["", *(f"{count:,} callers" if count > 1 else "1 caller" for count in callers)]
    rows = []
    for subject in present(seen):
        cells = [f"{point['rate']:,.0f}, {point['p99'] / 1000:.1f}{failures(point)}" for point in seen[subject.name][0]]
        rows.append([subject.label, *cells])
    return table(head, rows)


def failures(point: dict) -> str:
    return f"; {point['failed']:,} failed" if point["failed"] else ""


def present(seen: dict) -> list:
    return [subject for subject in SUBJECTS if subject.name in seen]


def table(head: list, rows: list) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


# === Curves ===

WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 300, 240, 60, 50, 80


def svg(results: dict) -> str:
    operation = next(iter(results["sweep"]))
    sweep, delayed = results["sweep"][operation], results["delay"][operation]
    panels = [
        panel(f"{operation}: p99, ms, by requests/s", curves(sweep, "wanted", "p99", 1000)),
        panel(f"Upstream takes {DELAY} ms: requests/s, by callers", curves(delayed, "callers", "rate")),
        panel(f"Upstream takes {DELAY} ms: p99, ms, by callers", curves(delayed, "callers", "p99", 1000)),
    ]
    width = LEFT + len(panels) * (WIDTH + BETWEEN)
    height = TOP + HEIGHT + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Latency and throughput of the gateway, Envoy and a bare pass-through</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, content in enumerate(panels):
        parts.append(f'<g transform="translate({LEFT + number * (WIDTH + BETWEEN)},{TOP})">{content}</g>')
    for number, subject in enumerate(SUBJECTS):
        x, y = LEFT + number * 260, height - 16
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{subject.color}"/>')
        parts.append(f'<text x="{x + 20}" y="{y - 3}" fill="#333333">{html.escape(subject.label.strip("*"))}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def curves(seen: dict, x: str, y: str, unit: int = 1) -> dict:
    """A curve for each subject, of the medians of the rounds."""
    return {name: [(points[0][x], median(points, y) / unit) for points in zip(*runs)] for name, runs in seen.items()}


def panel(title: str, lines: dict) -> str:
    """One chart. Both axes are logarithmic."""
    points = [point for line in lines.values() for point in line]
    x_axis, y_axis = Axis([x for x, _ in points], WIDTH), Axis([y for _, y in points], HEIGHT)
    parts = [f'<text x="0" y="-16" font-weight="bold" fill="#333333">{html.escape(title)}</text>']
    for value in x_axis.ticks():
        x = x_axis.at(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="#e6e6e6"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle" fill="#555555">{value:,g}</text>')
    for value in y_axis.ticks():
        y = HEIGHT - y_axis.at(value)
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6e6e6"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{value:,g}</text>')
    colors = {subject.name: subject.color for subject in SUBJECTS}
    for name, line in lines.items():
        path = " ".join(f"{x_axis.at(x):.1f},{HEIGHT - y_axis.at(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colors[name]}" stroke-width="2"/>')
        for x, y in line:
            parts.append(f'<circle cx="{x_axis.at(x):.1f}" cy="{HEIGHT - y_axis.at(y):.1f}" r="2.5" fill="{colors[name]}"/>')
    return "".join(parts)


class Axis:
    """A logarithmic axis around values."""

    def __init__(self, values: list, length: int):
        self.low, self.high, self.length = min(values) / 1.15, max(values) * 1.15, length

    def at(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low) * self.length

    def ticks(self) -> list:
        powers = [10.0**power for power in range(-3, 7)]
        steps = (1, 2, 5) if self.high / self.low < 300 else (1,)
        return [power * step for power in powers for step in steps if self.low <= power * step <= self.high]
