"""What saves may be called and how many there may be, whether they are files or rows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from chronoprof_sidecar.domain.snapshot import SaveInfo
from chronoprof_sidecar.domain.windows import EXPORT_ENDING, SAVE_ENDING
from chronoprof_sidecar.errors import MalformedRequestError, SavesFullError
from chronoprof_sidecar.protocol import NANOSECONDS

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def is_save_name(name: str) -> bool:
    """Say whether `name` is one plain file name, whatever it ends in."""
    return _NAME.fullmatch(name) is not None


def check_save_name(name: str, *, loadable: bool = False) -> None:
    """Refuse anything but one plain file name that ends in `.json` or, unless `loadable`, `.csv`.

    Raises:
        MalformedRequestError: the message says what a name must look like.
    """
    endings = (SAVE_ENDING,) if loadable else (SAVE_ENDING, EXPORT_ENDING)
    if not is_save_name(name) or not name.endswith(endings):
        raise MalformedRequestError(
            "file_path must be one plain file name: a letter or digit, then up to 127 letters, digits, dots, dashes or"
            f" underscores, ending in {' or '.join(endings)}"
        )


def name_by_time(unix_ns: int) -> str:
    """Return a save's name made of the UTC time: `profiling_20261122T232828123456Z.json`."""
    moment = datetime.fromtimestamp(unix_ns // NANOSECONDS, UTC)
    return f"profiling_{moment:%Y%m%dT%H%M%S}{unix_ns // 1000 % 1_000_000:06}Z{SAVE_ENDING}"


@dataclass(frozen=True, slots=True)
class SaveLimits:
    """How many saves there may be, and what happens then."""

    max_saves: int
    max_bytes: int
    keep_saves: int
    """The newest so many are kept and older ones deleted; 0: none is ever deleted."""

    def refuse_full(self, present: Sequence[SaveInfo]) -> None:
        """Refuse one more save beside those `present`, newest first.

        Raises:
            SavesFullError: the bound on saves is reached.
        """
        if self.keep_saves:
            present = present[: self.keep_saves - 1]
        if len(present) >= self.max_saves:
            raise SavesFullError(f"there are {len(present)} saves already (CHRONOPROF_MAX_SAVES)")
        if sum(info.size_bytes for info in present) >= self.max_bytes:
            raise SavesFullError(f"the saves hold {self.max_bytes} bytes already (CHRONOPROF_MAX_SAVES_BYTES)")
