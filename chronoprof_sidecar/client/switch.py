"""Whether profiling is on at all: the one setting that is read where it is off.

Owns `ENABLE_PROFILING`. Apart from `settings` so that an app that leaves profiling off does not import what reading the
others takes.
"""

from collections.abc import Mapping
from typing import Final

from chronoprof_sidecar.errors import SettingsError

_ON: Final = frozenset({"1", "true", "yes", "on"})
_OFF: Final = frozenset({"", "0", "false", "no", "off"})


def is_enabled(environ: Mapping[str, str], given: bool | None) -> bool:
    """Say whether profiling is on: as given in code, else as the environment says.

    Raises:
        SettingsError: the environment says neither on nor off.
    """
    if given is not None:
        return given
    word = environ.get("ENABLE_PROFILING", "").strip().lower()
    if word not in _ON | _OFF:
        raise SettingsError(f"ENABLE_PROFILING: {word!r} is neither of 1 true yes on, nor of 0 false no off")
    return word in _ON
