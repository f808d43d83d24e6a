"""docs/wire.md: what it says is so, and its programs count every call, once, in the right bucket."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chronoprof_sidecar import protocol
from chronoprof_sidecar.protocol import bucket_of, count_buckets
from chronoprof_sidecar.settings import Settings
from tests.docs.pages import blocks_of, paste, read_page, write_files
from tests.faults.proxy import Fate, Proxy
from tests.process.sidecar import INGEST_KEY, Sidecar

PAGE = read_page("docs/wire.md")
BODY, ANSWER = (json.loads(block) for block in blocks_of(PAGE, "json"))
VECTORS = re.findall(r"([\d.]+) \| (\d+) \|", PAGE.partition("## The bucket rule")[2].partition("\n## ")[0])

_random = Random("wire")
DURATIONS = [0.0, 1e-9, 1e-6, 0.999999999, 1.0, 1.0156249999999998, 0.1249999999, 864000.0]
DURATIONS += [_random.lognormvariate(-4, 3) for _ in range(2000)]

RECORD_ALL = """
import { readFileSync } from "node:fs";
import { Timings } from "./timings.mjs";

const timings = new Timings({ url: process.env.CHRONOPROF_URL, key: process.env.CHRONOPROF_API_KEY, service: "node" });
for (const line of readFileSync("timings.log", "utf8").trimEnd().split("\\n")) {
  const [seconds, ...name] = line.split(" ");
  timings.record(name.join(" "), Number(seconds));
  if (name[0] === "a") await timings.flush();
}
for (let i = 0; i < 5 && !(await timings.flush()); i++);
"""


@pytest.fixture
def proxy(sidecar: Sidecar) -> Iterator[Proxy]:
    """Return a way to the sidecar that loses the first answer."""
    fates = iter([Fate.LOSE_ANSWER])
    with Proxy(sidecar.port, lambda: next(fates, Fate.PASS)).running() as proxy:
        yield proxy


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with the page's programs, and timings of two functions to send."""
    write_files(PAGE, tmp_path)
    (tmp_path / "all.mjs").write_text(RECORD_ALL)
    lines = ['0.5 a "b" \\c é', *(f"{duration!r} GET /recall" for duration in DURATIONS)]
    (tmp_path / "timings.log").write_text("\n".join(lines) + "\n")
    return tmp_path


def assert_all_counted(sidecar: Sidecar) -> None:
    """Assert that the sidecar has every timing of `directory` once, in its bucket, under its name."""
    assert {"GET /recall": len(DURATIONS), 'a "b" \\c é': 1} == sidecar.calls()
    row = sidecar.data("?function_name=GET%20/recall&buckets=true")["GET /recall"]
    assert dict(zip(row["buckets"], row["counts"], strict=True)) == count_buckets(DURATIONS)
    assert row["total_time"] == pytest.approx(sum(DURATIONS))
    assert (row["min_time"], row["max_time"]) == (0, 864000)
    assert 1 == len(sidecar.senders())


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_shell_program_counts_every_call_once(sidecar: Sidecar, proxy: Proxy, directory: Path) -> None:
    """Though the first answer is lost, each line counts once, in the bucket that the shim would have chosen."""
    done = paste("sh send.sh shell <timings.log", sidecar, directory, key=INGEST_KEY, url=proxy.url)
    assert (0, "") == (done.returncode, done.stderr)
    assert 2 == proxy.met.total()
    assert_all_counted(sidecar)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_shell_program_says_what_it_cannot_send(sidecar: Sidecar, directory: Path) -> None:
    """A line that holds no timing is shown beside the numbers; a key that may not send ends it with the reason."""
    wrong = paste("sh send.sh shell <timings.log", sidecar, directory, key="not-the-key-of-anybody")
    assert (1, True) == (wrong.returncode, "unauthorized" in wrong.stderr)
    done = paste("printf '%s\\n' 'soon a' '0.5' '0.5 a' | sh send.sh shell", sidecar, directory)
    assert done.returncode == 0
    _, answer = sidecar.request("GET", "/api/v1/profiling/data")
    assert (2, 1) == (answer["meta"]["rejected"], answer["data"]["a"]["calls"])


@pytest.mark.system
def test_the_node_program_counts_every_call_once(sidecar: Sidecar, proxy: Proxy, directory: Path) -> None:
    """Though the first answer is lost, each call counts once, in the bucket that the shim would have chosen."""
    done = paste("node all.mjs", sidecar, directory, key=INGEST_KEY, url=proxy.url)
    assert (0, "") == (done.returncode, done.stderr)
    assert 3 == proxy.met.total()
    assert_all_counted(sidecar)


@pytest.mark.system
def test_the_node_example_works(sidecar: Sidecar, directory: Path) -> None:
    """The short example ships what it timed and ends by itself."""
    done = paste("node app.mjs", sidecar, directory, key=INGEST_KEY)
    assert (0, "") == (done.returncode, done.stderr)
    assert {"GET /recall": 1, "import.row": 1} == sidecar.calls()


@pytest.mark.system
def test_the_node_program_begins_anew_where_it_is_unknown(sidecar: Sidecar, directory: Path) -> None:
    """A sidecar that lost its memory answers 409: the same calls come again as the first batch of a new sender."""
    (directory / "forgotten.mjs").write_text(
        'import { Timings } from "./timings.mjs";\n'
        "const { CHRONOPROF_URL: url, CHRONOPROF_API_KEY: key } = process.env;\n"
        'const timings = new Timings({ url, key, service: "node" });\n'
        'timings.record("first", 0.1);\nawait timings.flush();\n'
        'process.stdin.once("data", async () => {\n'
        '  timings.record("second", 0.1);\n  console.log(await timings.flush());\n  process.exit();\n});\n'
        'console.log("flushed");\n'
    )
    environ = sidecar.app_environ()
    node = subprocess.Popen(
        ["node", "forgotten.mjs"],
        cwd=directory,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with node:
        assert node.stdin is not None
        assert node.stdout is not None
        assert "flushed\n" == node.stdout.readline()
        sidecar.kill()
        for file in (sidecar.directory / "data").glob("chronoprof.db*"):
            file.unlink()
        sidecar.start()
        node.stdin.write("go\n")
        node.stdin.flush()
        assert "true\n" == node.stdout.readline()
    assert {"second": 1} == sidecar.calls()


def test_the_example_body_is_answered_as_shown(sidecar: Sidecar) -> None:
    """The body that shows all fields is accepted whole, with the answer beside it."""
    assert (200, ANSWER) == sidecar.request("POST", "/api/v1/profiling/ingest", BODY, key=INGEST_KEY)


def test_every_field_is_shown() -> None:
    """The body on the page has every field that the OpenAPI description gives a batch and an aggregate."""
    schemas: dict[str, Any] = json.loads(read_page("chronoprof_sidecar/server/openapi.json"))["components"]["schemas"]
    assert set(BODY) == set(schemas["Batch"]["properties"])
    assert set(BODY["functions"]["GET /recall"]) == set(schemas["Aggregate"]["properties"])


@pytest.mark.parametrize(("seconds", "bucket"), VECTORS)
def test_the_buckets_on_the_page_are_right(seconds: str, bucket: str) -> None:
    """Somebody who writes a sender checks it against these."""
    assert bucket_of(float(seconds)) == int(bucket)


def test_the_limits_on_the_page_are_right() -> None:
    """The rules of an item quote the limits that the sidecar enforces."""
    assert len(VECTORS) == 8
    assert f"A name has 1 to {protocol.MAX_NAME_LENGTH} characters, a label" in PAGE
    assert f"at most {protocol.MAX_LABEL_LENGTH}; no control characters" in PAGE
    assert f"at most 10 days ({protocol.MAX_DURATION_SECONDS} seconds)" in PAGE
    assert f"`{protocol.OTHER}` is taken" in PAGE.replace("\n", " ").replace("  ", " ")
    mebibytes = [size // 2**20 for size in (Settings().max_body_bytes, Settings().max_inflated_bytes)]
    assert "A body is at most {} MiB, {} MiB inflated".format(*mebibytes) in PAGE
