"""The only place that attaches a log handler: one line a record, on stderr, for people or for collectors.

What is logged may quote names that anybody with an ingest key chose; neither format lets them forge a line.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.setting_values import LogFormat, LogLevel

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure_logging(level: LogLevel, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send records of `level` and above to `stream`, stderr unless told otherwise, and to no handler from before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextFormatter(logging.Formatter):
    """`2026-11-03T10:00:00.123Z INFO logger: message`, a traceback indented below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        """Return the first line."""
        return f"{_format_time(record)} {record.levelname} {record.name}: {harmless(record.message)}"

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 -- logging's name
        """Return the traceback; indented, since an exception's text may look like a line of the log."""
        return "\n".join(f"    {harmless(line)}" for line in super().formatException(ei).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; JSON escapes whatever could break it."""
        line = {
            "time": _format_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = _encodable(self.formatException(record.exc_info))
        return json.dumps(line)


def _encodable(text: str) -> str:
    """Return `text` with lone surrogates as text: JSON can write them, but many parsers refuse the whole line then."""
    return text.encode("utf-8", "backslashreplace").decode()


def _format_time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
