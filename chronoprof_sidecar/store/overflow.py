"""Says in the log, once a minute, what the table had no room for, with hints at names that look like one template."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from chronoprof_sidecar.domain.hints import suggest_templates
from chronoprof_sidecar.domain.table import Placement

logger = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 60.0
_REMEMBERED_NAMES: Final = 1000
_TELLING_NAMES: Final = 100
"""So many show whether there is a template behind them; the first batch that overflows may do so by one."""


class OverflowLog:
    """Collects names for a minute at most; bounded whatever arrives."""

    def __init__(self, max_functions: int, monotonic: Callable[[], float]) -> None:
        self._max_functions = max_functions
        self._monotonic = monotonic
        self._names: set[str] = set()
        self._quiet_until = -_EVERY_SECONDS
        self._owes_hint = False

    def note(self, placements: Iterable[Placement]) -> None:
        """Take note of where counted batches were placed, and say what there is to say."""
        overflowed = [placement.overflowed for placement in placements if placement.overflowed]
        if not overflowed:
            return
        for names in overflowed:
            if len(self._names) < _REMEMBERED_NAMES:
                self._names.update(names)
        now = self._monotonic()
        if now < self._quiet_until and not (self._owes_hint and len(self._names) >= _TELLING_NAMES):
            return
        self._owes_hint = now >= self._quiet_until and len(self._names) < _TELLING_NAMES
        self._quiet_until = now + _EVERY_SECONDS
        templates = ", ".join(f"{template!r} ({count} names)" for template, count in suggest_templates(self._names))
        logger.warning(
            "the table is full (CHRONOPROF_MAX_FUNCTIONS=%d): new function names are counted under _other%s",
            self._max_functions,
            f"; these look like one template each: {templates}" if templates else "",
        )
        if not self._owes_hint:
            self._names.clear()
