"""Log lines: one record is one line, whatever it quotes."""

import io
import json
import logging
import re
from collections.abc import Iterator

import orjson
import pytest

from chronoprof_sidecar.cli.logs import configure_logging
from chronoprof_sidecar.setting_values import LogFormat

HOSTILE = "name\n2026-01-01T00:00:00.000Z INFO forged: line\x1b[2J"


@pytest.fixture(autouse=True)
def _keep_handlers() -> Iterator[None]:
    """Put back the handlers of the root logger, which pytest set up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # configure_logging() would close those of pytest
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _log(log_format: LogFormat) -> str:
    stream = io.StringIO()
    configure_logging("info", log_format, stream)
    logger = logging.getLogger("chronoprof_sidecar.somewhere")
    logger.debug("not shown")
    logger.warning("new function %s", HOSTILE)
    logger.error("failed", exc_info=ValueError(HOSTILE))
    return stream.getvalue()


def test_text_lines_cannot_be_forged() -> None:
    """Only records begin a line; what they quote is escaped, and tracebacks are indented."""
    lines = _log("text").splitlines()

    begun = [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line)]
    assert [line.split(" ", 1)[1] for line in begun] == [
        r"WARNING chronoprof_sidecar.somewhere: new function name\n2026-01-01T00:00:00.000Z INFO forged: line\x1b[2J",
        "ERROR chronoprof_sidecar.somewhere: failed",
    ]
    assert {line[:4] for line in lines if line not in begun} == {"    "}
    assert r"\x1b[2J" in lines[-1]


def test_json_lines_are_objects() -> None:
    """Each record is one JSON object with time, level, logger and message, and the traceback where there is one."""
    first, second = map(json.loads, _log("json").splitlines())

    assert list(first) == ["time", "level", "logger", "message"]
    assert (first["level"], first["message"]) == ("warning", f"new function {HOSTILE}")
    assert (second["level"], second["logger"]) == ("error", "chronoprof_sidecar.somewhere")
    assert second["exception"].endswith(f"ValueError: {HOSTILE}")


def test_json_lines_are_unicode() -> None:
    """A lone surrogate, of a file name say, is text in the line: many parsers would refuse it as an escape."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logging.getLogger("x").error("cannot read %s", "a\udcff", exc_info=ValueError("\ud800"))

    line = orjson.loads(stream.getvalue())
    assert line["message"] == r"cannot read a\udcff"
    assert line["exception"].endswith(r"ValueError: \ud800")


def test_times_are_utc_with_milliseconds() -> None:
    """A moment is written as RFC 3339 has it, whatever the time zone of the machine is."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    record = logging.LogRecord("x", logging.INFO, "", 0, "m", None, None)
    record.created = 1_793_700_000.0049
    logging.getLogger().handle(record)

    assert json.loads(stream.getvalue())["time"] == "2026-11-03T10:00:00.004Z"
