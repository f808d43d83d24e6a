"""What charts are made of: an answer of `GET data`, from a sidecar or out of a file, the histograms in it, a history.

A save reads like such an answer, and has its histograms in rows of its own, one for each service and version.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.cli.text import is_number
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.errors import MalformedRequestError, NotFoundError
from chronoprof_sidecar.protocol import BUCKET_COUNT, bucket_bounds

LEAST_WIDTH: Final = 4
"""16 buckets per doubling are left of 64."""
MAX_BARS: Final = 160

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One step of an answer of `GET history`."""

    start: datetime
    end: datetime
    calls: int
    row: Row

    def durations(self, columns: Sequence[str]) -> dict[str, float]:
        """Return those of `columns` that the step has; none where nothing was called."""
        return {column: float(self.row[column]) for column in columns if is_number(self.row.get(column))}


def steps_of(report: Mapping[str, Any]) -> list[HistoryStep]:
    """Return the steps of a history.

    Raises:
        MalformedRequestError: what is there is none.
    """
    try:
        return [
            HistoryStep(
                datetime.fromisoformat(step["start"]), datetime.fromisoformat(step["end"]), int(step["calls"]), step
            )
            for step in map(as_mapping, as_list(report.get("steps")))
        ]
    except (ValueError, TypeError, LookupError) as error:
        raise MalformedRequestError(f"the answer is no history: {error}") from error


def rows_of(report: Mapping[str, Any]) -> dict[str, Row]:
    """Return the rows of an answer by function name."""
    return {name: as_mapping(row) for name, row in as_mapping(report.get("data")).items()}


def read_report(path: Path) -> dict[str, Any]:
    """Return what a file holds that reads like an answer of `GET data`.

    Raises:
        NotFoundError: the file cannot be read.
        MalformedRequestError: it holds something else.
    """
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"{path} is no save: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("data"), dict):
        raise MalformedRequestError(f"{path} is no save: it has no `data`")
    return report


def histogram_of(report: Mapping[str, Any], name: str) -> dict[int, int]:
    """Return the calls per bucket of one function, merged over services and versions, buckets ascending.

    Raises:
        NotFoundError: there are no calls of that function, or no histogram of them.
        MalformedRequestError: what is there is no histogram.
    """
    row = rows_of(report).get(name)
    if row is None:
        raise NotFoundError(f"there are no calls of {name}")
    histograms = [row] if "buckets" in row else [saved for saved in report.get("rows", ()) if _is_of(saved, name)]
    if not histograms:
        raise NotFoundError(f"there is no histogram of {name}: a save has them, a stored answer only with buckets=true")
    try:
        return _merge(histograms)
    except (ValueError, TypeError, LookupError) as error:
        raise MalformedRequestError(f"the histogram of {name} is none: {error}") from error


def coarsen(histogram: Mapping[int, int]) -> list[tuple[tuple[float, float], int]]:
    """Return bounds in seconds and calls of wider buckets, at most 16 per doubling and 160 in all: finer show chance.

    Bucket 0, for durations of zero, stays by itself.
    """
    above = sorted(bucket for bucket in histogram if bucket)
    width = LEAST_WIDTH
    while above and (above[-1] - above[0]) // width >= MAX_BARS:
        width *= 2
    merged: Counter[tuple[int, int]] = Counter({(0, 0): histogram[0]} if 0 in histogram else {})
    for bucket in above:
        low = bucket - bucket % width
        merged[max(1, low), min(low + width, BUCKET_COUNT - 1) - 1] += histogram[bucket]
    return [((bucket_bounds(low)[0], bucket_bounds(last)[1]), calls) for (low, last), calls in merged.items()]


def _is_of(saved: object, name: str) -> bool:
    return isinstance(saved, dict) and saved.get("function_name") == name


def _merge(histograms: list[Row]) -> dict[int, int]:
    merged: Counter[int] = Counter()
    for histogram in histograms:
        for bucket, count in zip(histogram["buckets"], histogram["counts"], strict=True):
            if not 0 <= bucket < BUCKET_COUNT - 1:
                raise ValueError(f"there is no bucket {bucket}")
            merged[bucket] += int(count)  # a save writes large ones as decimal strings
    return dict(sorted(merged.items()))
