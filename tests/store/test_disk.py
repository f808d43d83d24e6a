"""Room on the disk: what is told of it, to whom and how often."""

import logging
import shutil
from pathlib import Path

import pytest

from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.store.embedded.disk import Disk


def test_too_little_room_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every writer is refused below the bound, the log has one line for all of them, and one when there is room."""
    disk = Disk(tmp_path, min_free_bytes=2 * shutil.disk_usage(tmp_path).total)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="CHRONOPROF_MIN_FREE_BYTES"):
            disk.refuse_almost_full()
    assert disk.full_reason() is not None
    disk.note_written()
    disk.note_written()
    assert [logging.ERROR, logging.WARNING] == [record.levelno for record in caplog.records]


def test_a_full_disk_with_much_free_space_does_not_stay_unready(tmp_path: Path) -> None:
    """Where a quota refuses what free space allows, readiness does not wait for more of it."""
    disk = Disk(tmp_path, min_free_bytes=0)
    assert disk.note_full().retry_after_seconds <= 5
    assert disk.full_reason() is None
    disk.refuse_almost_full()
