"""Database files with flipped bits and cut tails, and one of a newer release."""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from chronoprof_sidecar.errors import StoreError, UnavailableError
from chronoprof_sidecar.protocol import DATA_PATH, INGEST_PATH
from chronoprof_sidecar.store.embedded import open_store
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from tests.faults.damage import CUTS, DAMAGES, LOG_NAME, PAGE_BYTES, Damage, Image, Shown, record_images, shown_by
from tests.process.sidecar import DEADLINE_SECONDS, INGEST_KEY, Sidecar
from tests.proof import Proof
from tests.scale import scaled
from tests.store.bodies import make_batch
from tests.store.harness import Clock
from tests.store.test_embedded import make_settings

FILES = scaled(30, full=1000)
SIDECARS = range(2000, 2000 + scaled(2, full=12))
LATE = "counted after the damage"


class Trial(NamedTuple):
    """A damaged directory."""

    image: Image
    directory: Path
    file: Path
    damage: Damage

    @classmethod
    def make(cls, number: int, images: dict[str, Image], directory: Path) -> "Trial":
        """Damage a copy of an image, another way for each number."""
        random = Random(number)
        image = images[random.choice(sorted(images))]
        shutil.copytree(image.directory, directory)
        file = random.choice([path for name in (DATABASE_NAME, LOG_NAME) if (path := directory / name).exists()])
        damage = random.choice(DAMAGES)
        content = bytearray(file.read_bytes())
        damage(content, random)
        file.write_bytes(content)
        return cls(image, directory, file, damage)

    @property
    def cuts_the_log(self) -> bool:
        """Whether nobody can tell: a log that ends early is what a crash in the middle of a commit leaves."""
        return self.file.name == LOG_NAME and self.damage in CUTS

    def looks_like_a_crash(self, shown: Shown) -> bool:
        """Say whether what is left is what a crash would have left."""
        return self.cuts_the_log and shown in self.image.states

    def lost_rows(self, shown: Shown) -> int:
        """Return how many rows are not, or not wholly, there."""
        truth = self.image.states[-1]
        if shown.generation != truth.generation:
            return len(truth.rows)
        return sum(shown.rows.get(key) != row for key, row in truth.rows.items())


class Start(NamedTuple):
    """What one start of a store came to."""

    shown: Shown
    """Without what was counted after the damage."""
    set_aside: int
    served: bool
    """Whether it went on until it was told to stop."""


async def start(directory: Path, sender: str) -> Start:
    """Open a store, look at it, count a batch of a fresh sender, and stop it."""
    store = await open_store(make_settings(directory), clock_ns=Clock())
    shown, set_aside = await shown_by(store)
    failure = asyncio.ensure_future(store.failure())
    with suppress(UnavailableError):
        await store.ingest(make_batch({LATE: [1]}, sender=sender))
    await store.close()
    await asyncio.wait([failure])
    rows = {key: row for key, row in shown.rows.items() if key.function_name != LATE}
    return Start(Shown(shown.generation, rows), set_aside, served=failure.cancelled())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Directories as a sidecar leaves them."""
    return asyncio.run(record_images(tmp_path_factory.mktemp("images")))


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar whose directory is prepared before it starts, and which soon writes a checkpoint."""
    sidecar = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.1")
    yield sidecar
    sidecar.close()


async def judge(trial: Trial, figures: Counter[str]) -> None:
    """Start what is damaged until it serves, and add up what came of it."""
    inode, before = trial.file.stat().st_ino, trial.file.read_bytes()
    try:
        starts = [await start(trial.directory, "first")]
        # The second start meets what the first one noted, or what it left: both must be told again.
        if not starts[0].served or starts[0].set_aside:
            starts.append(await start(trial.directory, "second"))
    except StoreError as refusal:
        untouched = before == trial.file.read_bytes() and "newer release" in str(refusal)
        figures["taken for a newer release" if untouched else "crash loops"] += 1
        return
    figures["started"] += 1
    figures["in need of a second start"] += not starts[0].served
    figures["crash loops"] += not starts[-1].served
    names = {path.stat().st_ino: path.name for path in trial.directory.iterdir()}
    figures["files set aside"] += any(".damaged-" in name for name in names.values())
    figures["files deleted"] += trial.file.name == DATABASE_NAME and inode not in names
    lost = trial.lost_rows(starts[-1].shown)
    figures["rows lost"] += lost
    for each in starts:
        figures["doubled or invented"] += not each.shown.at_most(trial.image.acknowledged(each.shown.generation))
        if trial.lost_rows(each.shown) and not each.set_aside:
            told = trial.looks_like_a_crash(each.shown)
            figures["logs cut as a crash cuts them" if told else "losses not reported"] += 1
    figures["losses reported"] += bool(lost and starts[-1].set_aside)


@pytest.mark.timeout(scaled(120, full=1800))
async def test_damaged_files(images: dict[str, Image], tmp_path: Path, proof: Proof) -> None:
    """Whatever bits flip and tails go, the sidecar serves by its second start, tells losses, and doubles nothing."""
    figures: Counter[str] = Counter()
    for number in range(FILES):
        trial = Trial.make(number, images, tmp_path / "trial")
        await judge(trial, figures)
        shutil.rmtree(trial.directory)
    never = ("losses not reported", "doubled or invented", "crash loops", "files deleted")
    proof.reached("files", FILES)
    for what, figure in sorted(figures.items()):
        if what not in never:
            proof.reached(what, figure)
    for what in never:
        proof.reached(what, figures[what], goal=0)
    assert {} == {what: figures[what] for what in never if figures[what]}
    assert FILES == figures["started"] + figures["taken for a newer release"]


def use(sidecar: Sidecar, sender: str) -> Any:
    """Start a sidecar, look, count a call and stop it; return what it showed, None if damage ended it meanwhile."""
    sidecar.start()
    try:
        _, answer = sidecar.request("GET", DATA_PATH)
        counted = sidecar.request("POST", INGEST_PATH, batch_of(sender), key=INGEST_KEY)[0] == 200
    except OSError:
        counted = False
    status = sidecar.stop()
    assert counted or status == 1
    return answer if counted and status == 0 else None


@pytest.mark.timeout(scaled(120, full=300))
def test_damaged_sidecars(images: dict[str, Image], prepared: Sidecar, proof: Proof) -> None:
    """A real sidecar on a damaged directory serves by its second start, tells in `meta` what is lost, and counts on."""
    figures: Counter[str] = Counter()
    for number in SIDECARS:
        trial = Trial.make(number, images, prepared.directory / "data")
        truth = trial.image.states[-1]
        answers = [answer for answer in (use(prepared, sender="first"), use(prepared, sender="second")) if answer]
        assert answers, "no start went on"
        for answer in answers:
            calls = sum(row["calls"] for name, row in answer["data"].items() if name != LATE)
            known = trial.image.calls() if answer["meta"]["generation"] == truth.generation else 0
            assert calls <= known
            assert calls == known or not answer["meta"]["complete"] or trial.cuts_the_log
        figures["calls lost"] += known - calls
        shutil.rmtree(trial.directory)
    proof.reached("sidecars", len(SIDECARS))
    proof.reached("calls lost and told", figures["calls lost"])


@pytest.mark.timeout(120)
def test_damage_that_shows_while_running(images: dict[str, Image], prepared: Sidecar, proof: Proof) -> None:
    """A checkpoint that meets damage ends the sidecar with an error, and the next start salvages all that is left."""
    image, directory = images["stopped"], prepared.directory / "data"
    shutil.copytree(image.directory, directory)
    zero_root_page(directory / DATABASE_NAME, "sqlite_autoindex_senders_1")
    prepared.start()
    status, _ = prepared.request("POST", INGEST_PATH, batch_of("late"), key=INGEST_KEY)
    assert 200 == status
    assert 1 == prepared.process.wait(DEADLINE_SECONDS)
    _, answer = prepared.start().request("GET", DATA_PATH)
    calls = {name: row["calls"] for name, row in answer["data"].items()}
    status, report = prepared.request("POST", INGEST_PATH, batch_of("late"), key=INGEST_KEY)
    proof.reached("calls lost", image.calls() + 1 - sum(calls.values()), goal=0)
    assert image.calls() + 1 == sum(calls.values())
    assert (False, 1) == (answer["meta"]["complete"], answer["meta"]["set_aside"])
    assert (200, True) == (status, report["duplicate"])
    assert 0 == prepared.stop()
    assert 1 == len(list(directory.glob("*.damaged-*")))


@pytest.mark.timeout(120)
def test_a_newer_schema(images: dict[str, Image], prepared: Sidecar, proof: Proof) -> None:
    """A database that a newer release left in the middle of its work is refused in words, and not a byte changes."""
    shutil.copytree(images["crashed"].directory, prepared.directory / "newer")
    directory = prepared.directory / "data"
    with closing(sqlite3.connect(prepared.directory / "newer" / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 2")  # which stands in the log alone
        shutil.copytree(prepared.directory / "newer", directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    assert 1 == prepared.start(wait=False).process.wait(DEADLINE_SECONDS)
    assert "was written by a newer release (schema 2, this one knows 1)" in prepared.log()
    after = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    proof.reached("files changed", sum(before[name] != after.get(name) for name in before), goal=0)
    assert before == after


def batch_of(sender: str) -> dict[str, object]:
    """Return the first batch of a sender: one call."""
    return {"client": {"id": sender, "seq": 1}, "durations": {LATE: [1]}}


def zero_root_page(path: Path, name: str) -> None:
    """Damage the first page of a table or index in a closed database."""
    with closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))
