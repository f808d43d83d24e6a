"""Names as carriers: what a function is called reaches people, parsers and spreadsheets as text, and does nothing."""

import csv
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any, Final
from xml.etree import ElementTree

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chronoprof_sidecar.cli.logs import JsonFormatter, TextFormatter
from chronoprof_sidecar.cli.text import width_of
from chronoprof_sidecar.protocol import OTHER, is_clean
from chronoprof_sidecar.wire.saves import load_save
from tests.attacks.asking import API, ask, with_key
from tests.process.sidecar import ADMIN_KEY, DEADLINE_SECONDS, INGEST_KEY, Sidecar
from tests.proof import Proof
from tests.scale import scaled

COMMAND = (sys.executable, "-m", "chronoprof_sidecar")
WIDTH: Final = 100
pytestmark = pytest.mark.timeout(scaled(120, full=600))

CARRIERS = [
    *("<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "javascript:alert(1)", "&lt;b&gt;", "]]>"),
    *(
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-1+1",
        "@SUM(1+1)",
        '=HYPERLINK("http://x","y")',
        "\uff1d1+1",
        "\uff0b1",
        "\uff20A1",
    ),
    *(" =1", "\u3000=1", "a;=1", "a,=1", "a|=1", 'a";=1', '","=1', "';=1", "'=1", '"=1', "a\u2028=1", "DDE(x;y;z)"),
    *(
        '"',
        "'",
        "\\",
        "\\n",
        "\\x1b[2J",
        "\\u202e",
        '\\"',
        "a,b",
        "a;b",
        "`id`",
        "$(id)",
        "${jndi:ldap://x/a}",
        "{{7*7}}",
    ),
    *(
        "%s%n%x",
        "%(asctime)s",
        "{0.__class__}",
        "%00",
        "%0d%0aSet-Cookie: x",
        "NULL",
        "'; DROP TABLE rows; --",
        "../../a",
    ),
    *(
        "\u202eevil\u202c",
        "\u2066x\u2069",
        "\u200f",
        "\u061c",
        "\u2028",
        "\u2029",
        "\u00a0",
        "\ufeff",
        "\u200b",
        "\u00ad",
    ),
    *(
        "\U000e0041",
        "a" + "\u0301" * 50,
        "\u0301a",
        "\u1160",
        "\U0001f468\u200d\U0001f469",
        "\u65e5\u672c" * 200,
        "\ufdfd",
    ),
    *(
        "2026-01-01T00:00:00.000Z INFO forged: line",
        '{"level":"info"}',
        "FUNCTION  CALLS",
        "Complete: nothing was lost",
    ),
    *("__proto__", "constructor", "data", "meta", "true", "1e999", "NaN", "\ue000", "\uffff", "\U0010ffff", "x" * 512),
]
UNCLEAN = [
    "\n",
    "a\r\nb",
    "\t=1",
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x00",
    "\x7f",
    "\x85",
    "a\x08b",
    "\ud800",
    "",
]
"""Never a function name: refused by the server, replaced by the shim."""

SPECIAL = "=+-@\t'\"\\<>&%${};,|\u2028\u202e\u200b\u0301\u00a0\ufeff\uff1d\u65e5 nx\U0001f600\ue000"
NAMES = (
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
    | st.text(st.sampled_from(SPECIAL.replace("\t", "")), min_size=1, max_size=40)
    | st.sampled_from(CARRIERS)
)
ANYTHING = st.text(st.characters(codec=None, categories=None)) | st.text(
    st.sampled_from(SPECIAL + "\r\n\x1b\x9b\ud800")
)


def made_names(wanted: int) -> list[str]:
    """Return so many different names that hypothesis thought of, all known carriers among them."""
    names = dict.fromkeys(CARRIERS)

    @settings(
        max_examples=wanted // 4,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(NAMES, min_size=10, max_size=10, unique=True))
    def collect(made: list[str]) -> None:
        names.update(dict.fromkeys(made))

    collect()
    names.pop(OTHER, None)  # reserved, and hypothesis reads it in our source
    return list(names)[:wanted]


class Carried:
    """A sidecar that was sent names from everybody who may send, and what it had to say to them."""

    def __init__(self, sidecar: Sidecar, names: list[str]) -> None:
        self.sidecar = sidecar
        self.names = names
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            status, answer = self.ingest(
                service=some[0][:128],
                version=some[-1][:128],
                durations={name: [5.0 if name in CARRIERS else 0.25] for name in some},
            )
            assert (status, answer["accepted"]) == (200, len(some))

    def send_as_others(self) -> None:
        """Send from instances and services with such names, and more names than the table has room for."""
        for number, name in enumerate(CARRIERS):
            status, _ = self.ingest(
                client={"id": f"sender-{number}", "seq": 1},
                service=name[:128],
                instance=name[:128],
                durations={self.names[-1]: [0.1], f"{name[:400]}/users/{number}": [0.1]},
            )
            assert status == 200

    def ingest(self, **body: object) -> tuple[int, Any]:
        """Send a batch."""
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = (*with_key(INGEST_KEY), ("Content-Type", "application/json"))
        reply = ask(self.sidecar, "POST", f"{API}/ingest", headers, content)
        return reply.status, reply.json()

    def get(self, target: str) -> bytes:
        """Return the body of an answer to an admin."""
        reply = ask(self.sidecar, "GET", f"{API}/{target}", with_key(ADMIN_KEY))
        assert (reply.status, reply.headers["x-content-type-options"]) == (200, "nosniff")
        return reply.body

    def save(self, name: str) -> bytes:
        """Save the window, and return the file."""
        assert ask(self.sidecar, "POST", f"{API}/save?file_path={name}", with_key(ADMIN_KEY)).status == 200
        return self.get(f"saves/{name}")

    def command(self, *arguments: str, terminal: bool) -> str:
        """Run a command on a terminal or into a pipe, and return what it printed."""
        environ = {**os.environ, "CHRONOPROF_URL": self.sidecar.url, "CHRONOPROF_API_KEY": ADMIN_KEY}
        environ |= {"COLUMNS": str(WIDTH), "PYTHONUTF8": "1"}
        argv = [*COMMAND, *arguments]
        if not terminal:
            done = subprocess.run(argv, env=environ, capture_output=True, timeout=DEADLINE_SECONDS, check=True)
            assert done.stderr == b""
            return done.stdout.decode()
        ours, theirs = pty.openpty()
        with subprocess.Popen(argv, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown = b"".join(read_terminal(ours))
            os.close(ours)
        assert process.returncode == 0
        return shown.decode().replace("\r\n", "\n")


def read_terminal(descriptor: int) -> Iterator[bytes]:
    """Yield what is printed until the last process closes the terminal, which Linux reports as an error."""
    while True:
        try:
            yield os.read(descriptor, 65536)
        except OSError:
            return


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """A sidecar full of hostile names, services, versions and instances, which logs about them."""
    names = made_names(scaled(300, full=10_000))
    running = Sidecar(
        tmp_path_factory.mktemp("carriers"), CHRONOPROF_LOG_LEVEL="debug", CHRONOPROF_MAX_FUNCTIONS=str(len(names))
    ).start()
    try:
        full = Carried(running, names)
        full.send_as_others()
        yield full
    finally:
        running.close()


def test_json_is_read_by_every_parser(carried: Carried, proof: Proof) -> None:
    """Answers and saves hold each name as it was sent, for the parsers of Python, orjson and msgspec alike."""
    documents = {
        "data": carried.get("data"),
        "senders": carried.get("senders"),
        "comparison": carried.get("compare?base=live&head=live"),
        "save": carried.save("a.json"),
    }
    for content in documents.values():
        assert json.loads(content) == orjson.loads(content) == msgspec.json.decode(content)
        assert b"\x1b" not in content
    names = set(carried.names)
    assert names <= set(json.loads(documents["data"])["data"])
    assert names <= set(json.loads(documents["save"])["data"])
    assert names <= set(json.loads(documents["comparison"])["data"])
    assert names <= {key.function_name for key, _ in load_save(documents["save"]).rows}
    senders = json.loads(documents["senders"])["senders"]
    assert {name[:128] for name in CARRIERS} == {sender["instance"] for sender in senders}
    proof.reached("names", len(names), goal=scaled(300, full=10_000))
    proof.reached("parsers", "json, orjson, msgspec")


@pytest.mark.parametrize("name", UNCLEAN)
def test_control_characters_are_no_name(carried: Carried, name: str) -> None:
    """A name with a control character, a surrogate or nothing in it is rejected item by item, as are such labels; the
    answer tells it in JSON that every parser reads."""
    body = json.dumps({"durations": {name: [0.1], carried.names[0]: [0.1]}}).encode()
    headers = (*with_key(INGEST_KEY), ("Content-Type", "application/json"))
    reply = ask(carried.sidecar, "POST", f"{API}/ingest", headers, body)
    if "\ud800" in name:  # no UTF-8 can say it, so the document is malformed
        assert reply.status == 400 or orjson.loads(reply.body)["rejected_items"] == 1
    else:
        assert (reply.status, orjson.loads(reply.body)["rejected_items"]) == (200, 1)
    if name:
        label = ask(carried.sidecar, "POST", f"{API}/ingest", headers, json.dumps({"service": name}).encode())
        assert label.status == 400
        orjson.loads(label.body)
    assert not is_clean(name) or name == ""


def test_a_picture_runs_nothing(carried: Carried, proof: Proof) -> None:
    """In the plot names are text: it is well-formed XML of shapes and text alone, which loads and runs nothing."""
    content = carried.get("plot.svg?top=100")
    elements = list(ElementTree.fromstring(content).iter())
    texts = {(element.text or "").strip() for element in elements if element.tag.endswith("}title")}
    kinds = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in elements}
    attributes = {name for element in elements for name in element.attrib}
    proof.reached("names", len(texts))
    assert {name.strip() for name in CARRIERS if name.isprintable()} <= texts
    assert kinds <= {"svg", "style", "g", "title", "text", "rect"}
    assert not [name for name in attributes if name.startswith("on") or "href" in name]


ESCAPE = re.compile("(?:^|(?<=[,;|\t\r\n]))'(?=\\s*['=+\\-@\uff1d\uff0b\uff0d\uff20])")
FORMULA = re.compile("\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]")


def test_a_spreadsheet_finds_no_formula(carried: Carried, proof: Proof) -> None:
    """Whatever separates cells where the export is opened, no cell begins like a formula; with the right separator
    every name and label comes back, once the apostrophes that the escape added are taken away."""
    text = carried.save("a.csv").decode()
    cells = [
        cell
        for delimiter in ",;\t|"
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for cell in line
    ]
    formulas = [cell for cell in cells if FORMULA.match(cell)]
    proof.reached("cells", len(cells))
    proof.reached("formulas", len(formulas), goal=0)
    assert formulas == []
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert set(carried.names) <= {ESCAPE.sub("", row["function_name"]) for row in rows}
    assert {len(row) for row in rows} == {15}
    assert None not in {key for row in rows for key in row}


def test_no_escape_reaches_the_terminal(carried: Carried, proof: Proof) -> None:
    """Tables and JSON that commands print, on a terminal or into a pipe, hold nothing that steers a terminal, turns
    text around or begins a line: one row is one line, and on a terminal no wider than it."""
    shown = {
        (what, form, terminal): carried.command(what, *form, terminal=terminal)
        for what, form, terminal in product(("data", "senders"), ((), ("--json",)), (False, True))
    }
    steering = {f"U+{ord(char):04X}" for text in shown.values() for char in text if is_steering(char)}
    proof.reached("characters", sum(map(len, shown.values())))
    proof.reached("steering", len(steering), goal=0)
    assert steering == set()
    for (what, form, terminal), text in shown.items():
        rows = json.loads(carried.get(what))[what]
        if form:
            assert len(json.loads(text)[what]) == len(rows)
            continue
        lines = text.removesuffix("\n").split("\n")
        assert len(lines) == 1 + len(rows) + (2 if what == "data" else 0)
        assert not terminal or max(map(width_of, lines)) <= WIDTH


def is_steering(char: str) -> bool:
    """Say whether a terminal may do something else than show a character."""
    return char != "\n" and not char.isprintable()


def test_no_line_of_the_log_is_forged(carried: Carried, proof: Proof) -> None:
    """What a real sidecar logs about names, the hint at templates included, is one line for each record."""
    lines = carried.sidecar.log().splitlines()
    begin = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) [\w.]+: ")
    forged = [line for line in lines if not begin.match(line) or not line.isprintable()]
    proof.reached("lines", len(lines))
    proof.reached("forged", len(forged), goal=0)
    assert forged == []
    assert any("the table is full" in line for line in lines)


def test_logs_carry_anything(proof: Proof) -> None:
    """Whatever text is logged, one record is one printable line of text, or one JSON object that every parser reads,
    with its exception indented below it or inside of it."""
    counted = 0

    @settings(max_examples=scaled(300, full=10_000), database=None, deadline=None)
    @given(ANYTHING)
    def check(text: str) -> None:
        nonlocal counted
        counted += 1
        record = logging.LogRecord(
            "sidecar", logging.INFO, "", 0, "name %s", (text,), (ValueError, ValueError(text), None)
        )
        first, *rest = TextFormatter().format(record).split("\n")
        assert all(line.startswith("    ") for line in rest)
        assert all(line.isprintable() for line in (first, *rest))
        record.exc_text = None
        line = JsonFormatter().format(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line) == orjson.loads(line) == msgspec.json.decode(line)
        sayable = text.encode("utf-8", "backslashreplace").decode()
        assert json.loads(line)["message"] == f"name {sayable}"

    check()
    proof.reached("texts", counted)
    proof.reached("forged lines", 0, goal=0)
