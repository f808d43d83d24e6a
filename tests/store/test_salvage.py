"""Damage of whole files, and the replacement of a damaged database: cut short at any step, nothing is lost by it."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from os import SEEK_CUR
from pathlib import Path

import pytest

from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from chronoprof_sidecar.store.embedded.records import MINUTE, MINUTE_SUM, decode_state, encode_state
from tests.store.bodies import make_batch
from tests.store.contract_suite import totals
from tests.store.harness import StoreHarness
from tests.store.history_contract import ask
from tests.store.test_embedded import make_harness

PAGE_BYTES = 4096
CELL_COUNT = 3
"""Where a page says how many entries it has (sqlite.org/fileformat2.html, section 1.6)."""
A_CALL, B_CALL = {"a": (1, 10**9)}, {"b": (1, 10**9)}


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """A directory with a call of `a` in its rows and one of `b` in its log."""
    harness = make_harness(tmp_path / "live")
    store = await harness.open()
    await store.ingest(make_batch({"a": [1]}, sender="s", seq=1))
    store = await harness.open()
    await store.ingest(make_batch({"b": [1]}, sender="s", seq=2))
    shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    await harness.close()
    return tmp_path / "crashed"


async def set_aside(store: Store, service: str | None = None) -> int:
    """Return how much is set aside, of all services or as it is told to who asks for one."""
    snapshot = await store.snapshot(Selection(service=service))
    return sum(losses.set_aside for losses in snapshot.losses.values())


async def stops_when_told(harness: StoreHarness) -> bool:
    """Open a store, and write all that it has; say whether that went well."""
    store = await harness.open()
    failure = asyncio.ensure_future(store.failure())
    await harness.close()
    await asyncio.wait([failure])
    return failure.cancelled()


def log_of(directory: Path) -> Path:
    return directory / f"{DATABASE_NAME}-wal"


def contents(directory: Path) -> set[bytes]:
    return {path.read_bytes() for path in directory.iterdir() if path.is_file()}


async def see_twice(harness: StoreHarness, directory: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Return what a store shows, the same after a crash right after its start, for any service, and in the history."""
    store = await harness.open()
    seen = await totals(store), await set_aside(store)
    shutil.copytree(directory, directory.with_name("crashed again"))
    await harness.close()
    again = make_harness(directory.with_name("crashed again"))
    store = await again.open()
    assert seen == (await totals(store), await set_aside(store))
    assert seen[1] == await set_aside(store, "shop")
    assert seen[1] == sum(losses.set_aside for losses in (await ask(store, service="shop")).losses().values())
    await again.close()
    return seen


@pytest.mark.parametrize("content", [b"", bytes(8192), b"not a database"], ids=["empty", "zeros", "text"])
async def test_a_file_that_says_nothing(crashed: Path, content: bytes) -> None:
    """A file without content is set aside with its log; the store starts empty and tells it ever after."""
    (crashed / DATABASE_NAME).write_bytes(content)
    before = contents(crashed)
    rows, aside = await see_twice(make_harness(crashed), crashed)
    assert ({}, 1) == (rows, aside)
    assert before <= contents(crashed)


async def test_a_log_alone(crashed: Path) -> None:
    """A log whose database is gone is kept aside, not read into a new one."""
    (crashed / DATABASE_NAME).unlink()
    before = log_of(crashed).read_bytes()
    assert ({}, 1) == await see_twice(make_harness(crashed), crashed)
    assert before in contents(crashed)


async def test_a_log_that_sqlite_reads_in_part(crashed: Path) -> None:
    """Commits behind a damaged frame are told as missing, and the log is kept as it was."""
    content = bytearray(log_of(crashed).read_bytes())
    content[32 + 24 + 100] ^= 1
    log_of(crashed).write_bytes(content)
    assert (A_CALL, 1) == await see_twice(make_harness(crashed), crashed)
    assert bytes(content) in contents(crashed)


class CrashError(BaseException):
    """The process ends here."""


async def test_a_replacement_that_is_cut_short(crashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended before any of its renames, a replacement is finished by the next start: once, and nothing is lost."""
    zero_page(crashed / DATABASE_NAME, "sqlite_autoindex_rows_1")
    rename = Path.rename
    crashes = 0
    while True:
        directory = tmp_path / f"cut short {crashes}"
        shutil.copytree(crashed, directory)
        left = crashes

        def rename_or_crash(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise CrashError
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", rename_or_crash)
        harness = make_harness(directory)
        try:
            await harness.open()
        except CrashError:
            crashes += 1
        else:
            break
        finally:
            monkeypatch.setattr(Path, "rename", rename)
        store = await harness.open()
        assert (A_CALL | B_CALL, 1) == (await totals(store), await set_aside(store))
        await harness.close()
        assert 1 == len(list(directory.glob("*.damaged-*Z")))
    await harness.close()
    assert 4 == crashes


async def test_one_damaged_copy_of_the_state_costs_nothing(crashed: Path) -> None:
    """Which window is current stands there twice."""
    damage_state(crashed, "state")
    assert (A_CALL | B_CALL, 0) == await see_twice(make_harness(crashed), crashed)


async def test_without_its_state_a_store_begins_a_window(crashed: Path) -> None:
    """Where nobody knows which window is current, none is taken for it; senders are known on."""
    damage_state(crashed, "state", "state again")
    harness = make_harness(crashed)
    assert ({}, 1) == await see_twice(harness, crashed)
    store = await harness.open()
    assert 2 == (await store.snapshot(Selection())).generation
    assert (await store.ingest(make_batch({"a": [1]}, sender="s", seq=1))).duplicate
    await harness.close()


async def test_a_row_that_is_gone_is_told(crashed: Path) -> None:
    """A row that damage hid without a trace is missed by its number."""
    change(crashed, "DELETE FROM rows WHERE kind = 1")
    assert (B_CALL, 1) == await see_twice(make_harness(crashed), crashed)


@pytest.mark.parametrize("column", ["service", "version", "function_name"])
async def test_a_key_of_another_type_is_damage(crashed: Path, column: str) -> None:
    """A flipped bit in a row's header makes bytes of a text, which no answer may meet."""
    change(crashed, f"UPDATE rows SET {column} = CAST({column} AS BLOB) WHERE kind = 1")
    assert (B_CALL, 1) == await see_twice(make_harness(crashed), crashed)


async def test_a_span_of_another_type_is_damage(crashed: Path) -> None:
    """So does one in the header of a sum make something else of the number of its minute."""
    harness = make_harness(crashed)
    await harness.open()
    await harness.close()
    change(crashed, f"UPDATE rows SET kind = {MINUTE_SUM}, span = CAST(span AS BLOB) WHERE kind = {MINUTE}")
    assert (A_CALL | B_CALL, 1) == await see_twice(harness, crashed)


async def test_an_entry_that_is_gone_is_told_once(crashed: Path) -> None:
    """A gap in the journal is counted by the start that finds it, and by no later one."""
    harness = make_harness(crashed)
    store = await harness.open()
    await store.ingest(make_batch({"c": [1]}))
    shutil.copytree(crashed, crashed.with_name("gap"))
    await harness.close()
    change(crashed.with_name("gap"), "DELETE FROM journal WHERE lsn = 2")
    rows, aside = await see_twice(make_harness(crashed.with_name("gap")), crashed.with_name("gap"))
    assert ({"a", "c"}, 1) == (set(rows), aside)


async def test_an_entry_hidden_at_the_end_is_told(crashed: Path) -> None:
    """Damage that makes the journal end early leaves no gap, and is noticed all the same."""
    page = root_page(crashed / DATABASE_NAME, "journal")
    with (crashed / DATABASE_NAME).open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES + CELL_COUNT)
        assert b"\0\1" == file.read(2)
        file.seek(-2, SEEK_CUR)
        file.write(b"\0\0")
    assert (A_CALL, 1) == await see_twice(make_harness(crashed), crashed)


async def test_a_lost_number_is_not_used_again(crashed: Path) -> None:
    """A row that counts more of the journal than is left of it does not keep later batches from being replayed."""
    harness = make_harness(crashed)
    await harness.open()
    await harness.close()
    rewind_state(crashed)
    store = await harness.open()
    assert 1 == await set_aside(store)
    await store.ingest(make_batch({"b": [1]}))
    shutil.copytree(crashed, crashed.with_name("later"))
    await harness.close()
    later = make_harness(crashed.with_name("later"))
    assert {"a": (1, 10**9), "b": (2, 2 * 10**9)} == await totals(await later.open())
    await later.close()


async def test_damage_that_a_checkpoint_meets_is_met_once(crashed: Path) -> None:
    """A store that fails because its file is damaged has the next start salvage it, which finds all there is."""
    zero_page(crashed / DATABASE_NAME, "sqlite_autoindex_senders_1")
    harness = make_harness(crashed)
    assert not await stops_when_told(harness)
    assert await stops_when_told(harness)
    assert (A_CALL | B_CALL, 1) == await see_twice(harness, crashed)


async def test_a_flipped_version_is_damage_and_a_higher_one_is_not(crashed: Path) -> None:
    """A version that no release will ever have does not keep the sidecar from starting; one to come does."""
    harness = make_harness(crashed)
    await harness.open()
    await harness.close()
    change(crashed, "PRAGMA user_version = 2")
    before = contents(crashed)
    with pytest.raises(StoreError, match="newer release"):
        await harness.open()
    assert before == contents(crashed)
    change(crashed, f"PRAGMA user_version = {1 | 1 << 20}")
    assert (A_CALL | B_CALL, 1) == await see_twice(harness, crashed)


def change(directory: Path, statement: str) -> None:
    """Change a database behind the store's back; its log moves into the file."""
    with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection, connection:
        connection.execute(statement)


def damage_state(directory: Path, *copies: str) -> None:
    for name in copies:
        change(directory, f"UPDATE meta SET value = CAST(x'00' || value AS BLOB) WHERE name = '{name}'")


def rewind_state(directory: Path) -> None:
    """Write the state of a checkpoint before the last batch, as if that batch's entry were lost."""
    with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection, connection:
        ((record,),) = connection.execute("SELECT value FROM meta WHERE name = 'state again'")
        state = encode_state(decode_state(record) | {"lsn": 1, "checked_lsn": 1})
        connection.execute("UPDATE meta SET value = ?", (state,))


def root_page(path: Path, name: str) -> int:
    """Return the number of the first page of a table or index; the log moves into the file."""
    with closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
    return int(page)


def zero_page(path: Path, name: str) -> None:
    """Damage the first page of a table or index."""
    page = root_page(path, name)
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))
