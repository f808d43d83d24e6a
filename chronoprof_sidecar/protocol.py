"""What the shim and the server must agree on: routes, headers, limits, names and the bucket rule.

Stdlib-only and pure. Whoever changes a rule here changes the wire: `WIRE_VERSION` then grows, and the journals of
older versions must still replay.
"""

import re
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

WIRE_VERSION: Final = 1

# --- routes and headers ---------------------------------------------------------------------------------------------

API_PREFIX: Final = "/api/v1/profiling"
DATA_PATH: Final = f"{API_PREFIX}/data"
RESET_PATH: Final = f"{API_PREFIX}/reset"
SAVE_PATH: Final = f"{API_PREFIX}/save"
ROTATE_PATH: Final = f"{API_PREFIX}/rotate"
INGEST_PATH: Final = f"{API_PREFIX}/ingest"
SAVES_PATH: Final = f"{API_PREFIX}/saves"
SENDERS_PATH: Final = f"{API_PREFIX}/senders"
HISTORY_PATH: Final = f"{API_PREFIX}/history"
COMPARE_PATH: Final = f"{API_PREFIX}/compare"
PLOT_PATH: Final = f"{API_PREFIX}/plot.svg"
METRICS_PATH: Final = "/metrics"

KEY_HEADER: Final = "X-API-Key"
CLIENT_HEADER: Final = "X-Chronoprof-Client"
"""On every request of the shim: an app that is its own sidecar recognises, and does not time, such requests."""
GENERATION_HEADER: Final = "X-Chronoprof-Generation"
REQUEST_ID_HEADER: Final = "X-Request-ID"

# --- limits ---------------------------------------------------------------------------------------------------------

NANOSECONDS: Final = 1_000_000_000
"""In one second."""
MAX_NAME_LENGTH: Final = 512
MAX_LABEL_LENGTH: Final = 128
MAX_CLIENT_ID_LENGTH: Final = 64
MAX_SEQ: Final = 2**53
MAX_DURATION_SECONDS: Final = 10 * 86_400
MAX_DURATION_NS: Final = MAX_DURATION_SECONDS * NANOSECONDS
MAX_ITEM_CALLS: Final = 2**40
"""Bound on calls x sample_every of one item."""
MAX_ITEM_TOTAL_NS: Final = 2**62
"""Bound on total_ns x sample_every of one item."""
MAX_SAMPLE_EVERY: Final = 1_000_000

# --- names ----------------------------------------------------------------------------------------------------------

OTHER: Final = "_other"
"""The row, and the label, that takes what no longer fits; no sender may use the name for a function."""
UNMATCHED: Final = "<unmatched>"
"""The route part of an endpoint's name where no route matched: `GET <unmatched>`."""

# Unicode's Cc is closed by stability policy: C0, DEL and C1. Surrogates cannot be written as UTF-8.
_UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_clean(text: str) -> bool:
    """Say whether `text` holds no control character (Unicode Cc) and no surrogate."""
    # isprintable() refuses more than the rule does, at C speed; the pattern decides the rest.
    return text.isprintable() or _UNCLEAN.search(text) is None


def clean_name(text: str) -> str:
    """Return `text` as a function name: unclean characters become U+FFFD, cut to 512 characters.

    An empty text, and the reserved name `_other`, become `<unnamed>` and `<_other>`: a name that would be rejected
    helps nobody.
    """
    name = text[:MAX_NAME_LENGTH]
    if not is_clean(name):
        name = _UNCLEAN.sub("�", name)
    if name == OTHER:
        return f"<{OTHER}>"
    return name or "<unnamed>"


def clean_label(text: str) -> str:
    """Return `text` as a service, version or instance: unclean characters become U+FFFD, cut to 128 characters."""
    return _UNCLEAN.sub("�", text[:MAX_LABEL_LENGTH])


# --- the bucket rule ------------------------------------------------------------------------------------------------
#
# bucket(d) = float32_bits(d) >> 17, for a duration d in seconds: the exponent and the first 6 bits of the mantissa of
# the IEEE 754 binary32 number, so 64 buckets per doubling, in any language with a cast and a shift. Rounding d to
# binary32 may carry it over an edge by 2^-24 of its value, far below the bucket's own width of 1/64.

_SHIFT: Final = 17
_HALFWORD_SHIFT: Final = _SHIFT - 16
_MAGNITUDE: Final = 0x7FFFFFFF >> _SHIFT
"""Takes the sign bit off a bucket: JSON has a `-0.0`, and it is zero like the other."""
_HIGH_HALFWORDS: Final = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
_FEW: Final = 6
"""Durations up to which a loop beats setting up a Counter: one takes 0.9 µs instead of 2.6 (measured)."""
_FLOAT32 = struct.Struct("f")
_UINT32 = struct.Struct("I")

BUCKET_COUNT: Final = (0x7F800000 >> _SHIFT) + 1
"""Buckets of all finite durations, and then some: any bucket is below this number."""


def bucket_of(duration_seconds: float) -> int:
    """Return the bucket of one duration in seconds, 0 for zero.

    The argument must be finite and not negative; see the rule above for the formula.
    """
    bits: int = _UINT32.unpack(_FLOAT32.pack(duration_seconds))[0]
    return bits >> _SHIFT & _MAGNITUDE


def count_buckets(durations_seconds: Sequence[float]) -> dict[int, int]:
    """Count durations in seconds by bucket, many of them at C speed; buckets come in no particular order.

    The high halfword of a binary32 number holds sign, exponent and 7 bits of the mantissa, one more than a bucket
    needs: one Counter pass over halfwords leaves at most twice as many keys as buckets to fold in Python.
    """
    counts: dict[int, int] = {}
    if len(durations_seconds) <= _FEW:
        for duration_seconds in durations_seconds:
            bucket = bucket_of(duration_seconds)
            counts[bucket] = counts.get(bucket, 0) + 1
        return counts
    # struct packs a float in a third of the time of array("f").
    halfwords = memoryview(struct.pack(f"{len(durations_seconds)}f", *durations_seconds)).cast("H")
    for halfword, count in Counter(halfwords[_HIGH_HALFWORDS].tolist()).items():
        bucket = halfword >> _HALFWORD_SHIFT & _MAGNITUDE
        counts[bucket] = counts.get(bucket, 0) + count
    return counts


def bucket_bounds(bucket: int) -> tuple[float, float]:
    """Return the bounds [a, b) of a bucket in seconds."""
    low: float = _FLOAT32.unpack(_UINT32.pack(bucket << _SHIFT))[0]
    high: float = _FLOAT32.unpack(_UINT32.pack((bucket + 1) << _SHIFT))[0]
    return low, high
