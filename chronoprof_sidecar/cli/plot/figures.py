"""Drawing with matplotlib: the slowest functions, a distribution, a history, a comparison.

Owns how charts look. Takes plain figures and knows neither sidecar nor files; a figure is written without a display.
"""

from collections.abc import Sequence
from datetime import datetime
from math import log2
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chronoprof_sidecar.cli.text import format_duration, harmless, shorten
from chronoprof_sidecar.domain.compare import Verdict
from chronoprof_sidecar.errors import NotFoundError

DPI: Final = 150
NAME_CELLS: Final = 44
SIDE_CELLS: Final = 22
"""Of the name of one side in a title that has two."""
_LEAST_ROWS: Final = 3
"""Fewer leave room below, instead of bars as thick as the picture."""
_BLUE: Final = "#2f6fde"
_PALE: Final = "#a9c3f2"
_RED: Final = "#c8412f"
_GREY: Final = "#7b8794"
_VERDICTS: Final[dict[Verdict | None, str]] = {Verdict.SLOWER: _RED, Verdict.FASTER: _BLUE}
"""What is more than chance."""
_LINES: Final = {"p50_time": _GREY, "p95_time": _BLUE, "p99_time": _RED}
"""The percentiles, from the middle to the tail."""
_FEW_DECADES: Final = 10**4
"""Durations that lie no further apart have room for 1, 2 and 5 of each decade on the axis."""


class Bar(NamedTuple):
    """One function and its figure; seconds, or a count."""

    name: str
    value: float


class Bucket(NamedTuple):
    """One bucket of a distribution: its bounds in seconds, and the calls in it."""

    low: float
    high: float
    calls: int


class Moment(NamedTuple):
    """One step of a history; durations in seconds by column, empty where nothing was called."""

    start: datetime
    end: datetime
    calls: int
    durations: dict[str, float]


class Pair(NamedTuple):
    """One function on both sides of a comparison, in seconds; None on the side where it was not called."""

    name: str
    base: float | None
    head: float | None
    verdict: Verdict | None
    """None where there are not both sides."""


def draw_bars(bars: Sequence[Bar], column: str) -> Figure:
    """Return a chart of functions, the first one on top."""
    figure, axes = _new(max(2.5, 1.2 + 0.36 * len(bars)))
    axes.barh(range(len(bars)), [bar.value for bar in bars], color=_BLUE, height=0.62)
    _name_rows(axes, [bar.name for bar in bars])
    axes.set_title(f"Functions by {column}", loc="left")
    if column.endswith("_time"):
        axes.xaxis.set_major_formatter(_DURATIONS)
    axes.bar_label(axes.containers[0], fmt=_DURATIONS if column.endswith("_time") else "{:,.0f}", padding=4)  # type: ignore[arg-type]
    axes.margins(x=0.14)
    return figure


def draw_distribution(name: str, buckets: Sequence[Bucket], percentiles: dict[str, float]) -> Figure:
    """Return a histogram on a logarithmic axis with the percentiles marked.

    Heights are calls per doubling of the duration: buckets are twice as wide, on this axis, at the beginning of a
    doubling as at its end, and the bare counts would show steps that the durations do not have.
    """
    figure, axes = _new(4.2)
    drawable = [bucket for bucket in buckets if bucket.low > 0]
    axes.bar(
        [bucket.low for bucket in drawable],
        [bucket.calls / log2(bucket.high / bucket.low) for bucket in drawable],
        width=[bucket.high - bucket.low for bucket in drawable],
        align="edge",
        color=_PALE,
    )
    for column, seconds in percentiles.items():
        if seconds > 0:
            label = f"{column.removesuffix('_time')} {format_duration(seconds)}"
            axes.axvline(seconds, color=_LINES.get(column, _GREY), linewidth=1.2, linestyle="--", label=label)
    if drawable:
        _scale_durations(axes, drawable[0].low, drawable[-1].high)
    else:
        axes.set_axis_off()
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", edgecolor="none")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("calls per doubling")
    axes.set_title(f"{_label(name)}: {_describe(buckets)}", loc="left")
    return figure


def _scale_durations(axes: Axes, low: float, high: float) -> None:
    """Give a logarithmic axis of durations at least two doublings, however alike they are, and few figures."""
    margin = max(1.05, 2 / (high / low) ** 0.5)
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    few_decades = high / low < _FEW_DECADES
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,), numticks=12))
    axes.xaxis.set_major_formatter(_DURATIONS)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _describe(buckets: Sequence[Bucket]) -> str:
    """Return how many calls there are, and how many of them a logarithmic axis has no place for."""
    calls = sum(bucket.calls for bucket in buckets)
    zeros = sum(bucket.calls for bucket in buckets if not bucket.low)
    text = f"{calls:,} call{'' if calls == 1 else 's'}"
    return f"{text}, {zeros:,} of no time, not drawn" if zeros else text


def draw_history(name: str, moments: Sequence[Moment]) -> Figure:
    """Return percentiles over time above calls over time; a step without calls is a gap."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    middles = [moment.start + (moment.end - moment.start) / 2 for moment in moments]
    for column, colour in _LINES.items():
        values = [moment.durations.get(column, float("nan")) for moment in moments]
        upper.plot(middles, values, color=colour, label=column.removesuffix("_time"), marker=".", markersize=3)
    upper.set_ylim(bottom=0)
    upper.yaxis.set_major_formatter(_DURATIONS)
    # Above the curves, where none can lie under it.
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderaxespad=0)
    upper.set_title(_label(name), loc="left")
    starts, ends = [moment.start for moment in moments], [moment.end for moment in moments]
    widths = [end - start for start, end in zip(starts, ends, strict=True)]
    lower.bar(starts, [moment.calls for moment in moments], width=widths, align="edge", color=_PALE)
    lower.set_xlim(min(starts), max(ends))
    lower.set_ylim(bottom=0)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set_ylabel("calls")
    lower.set_xlabel("UTC", loc="left")
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    for axes in (upper, lower):
        _tidy(axes)
    return figure


def draw_comparison(pairs: Sequence[Pair], column: str, base: str, head: str) -> Figure:
    """Return both sides of each function as a pair of bars, the first one on top; what chance may explain is pale."""
    figure, axes = _new(max(2.5, 1.4 + 0.5 * len(pairs)))
    places = range(len(pairs))
    axes.barh([place - 0.19 for place in places], [pair.base or 0.0 for pair in pairs], height=0.36, color=_GREY)
    colours = [_VERDICTS.get(pair.verdict, _PALE) for pair in pairs]
    bars = axes.barh([p + 0.19 for p in places], [pair.head or 0.0 for pair in pairs], height=0.36, color=colours)
    axes.bar_label(bars, [_change(pair) for pair in pairs], padding=4)
    _name_rows(axes, [pair.name for pair in pairs])
    axes.xaxis.set_major_formatter(_DURATIONS)
    axes.margins(x=0.16)
    axes.set_title(f"{column}: {_label(base, SIDE_CELLS)} (grey) and {_label(head, SIDE_CELLS)}", loc="left")
    return figure


def write(figure: Figure, path: Path) -> bool:
    """Write a figure, and return whether it replaced a file; the ending of the name says whether as PNG, SVG or PDF.

    Raises:
        NotFoundError: it cannot be written there.
    """
    replaced = path.exists()
    try:
        figure.savefig(path, dpi=DPI)
    except OSError as error:
        raise NotFoundError(f"cannot write {path}: {error.strerror}") from error
    return replaced


def _new(height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10, height_inches), layout="constrained")
    axes = figure.subplots()
    _tidy(axes)
    return figure, axes


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3, colors="#394651")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows from the top down: by place, since long names may look alike once they are short."""
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(max(len(names), _LEAST_ROWS) - 0.5, -0.5)


def _label(name: str, cells: int = NAME_CELLS) -> str:
    """Return a name as text: matplotlib would set what stands between dollar signs as mathematics."""
    return shorten(harmless(name), cells).replace("$", r"\$")


def _change(pair: Pair) -> str:
    if pair.head is None:
        return "not called any more"
    text = f"{pair.head / pair.base:.2f}x" if pair.base else format_duration(pair.head)
    if pair.base is None:
        return f"{text}, new"
    return text if pair.verdict in _VERDICTS else f"{text}, {pair.verdict}"


_DURATIONS: Final = FuncFormatter(lambda seconds, _=None: format_duration(seconds))
