import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.errors import BodyTooLargeError, MalformedRequestError
from chronoprof_sidecar.wire.compression import inflate_gzip
from tests.domain.building import bounded

TEXT = b'{"durations":{"a":[1]}}'
ZIPPED = gzip.compress(TEXT, mtime=0)


@bounded
@given(st.binary(max_size=2000), st.integers(0, 9))
def test_inflating_returns_what_was_compressed(content: bytes, level: int) -> None:
    """One gzip member of any content inflates to it, up to the very last byte that is allowed."""
    assert content == inflate_gzip(gzip.compress(content, level), len(content))


def test_one_byte_more_than_allowed_is_too_large() -> None:
    """The bound is exact."""
    with pytest.raises(BodyTooLargeError, match=f"more than {len(TEXT) - 1} bytes"):
        inflate_gzip(ZIPPED, len(TEXT) - 1)


@pytest.mark.parametrize("length", range(len(ZIPPED)))
def test_a_member_that_is_cut_short_is_refused(length: int) -> None:
    """Wherever a body ends too early, in header, data or checksum, none of it counts."""
    with pytest.raises(MalformedRequestError, match="not gzip: it is cut short"):
        inflate_gzip(ZIPPED[:length], 1000)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (ZIPPED + ZIPPED, "more than one gzip member"),
        (ZIPPED + b"\x00", "more than one gzip member"),
        (ZIPPED + b"trailing", "more than one gzip member"),
        (TEXT, "not gzip"),
        (zlib.compress(TEXT), "not gzip"),
        (ZIPPED[:-8] + b"\x00" * 8, "not gzip"),
        (b"\x1f\x8b\x09" + ZIPPED[3:], "not gzip"),
        (b"\x1f\x8b\x08\xe0" + ZIPPED[4:], "not gzip"),
    ],
)
def test_anything_but_one_member_is_refused(body: bytes, said: str) -> None:
    """A second member, trailing bytes, another format, a wrong checksum: refused as a whole."""
    with pytest.raises(MalformedRequestError, match=said):
        inflate_gzip(body, 1000)


@bounded
@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda tail: ZIPPED[:20] + tail))
def test_any_bytes_are_inflated_or_refused(body: bytes) -> None:
    """Whatever arrives, the answer is content or one of the two refusals."""
    with suppress(MalformedRequestError, BodyTooLargeError):
        assert len(inflate_gzip(body, 100)) <= 100


def test_a_bomb_costs_no_more_memory_than_is_allowed() -> None:
    """64 MiB of zeros in 64 kB are refused after the first allowed bytes."""
    deflater = zlib.compressobj(9, wbits=31)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(64)) + deflater.flush()
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            inflate_gzip(bomb, 2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
