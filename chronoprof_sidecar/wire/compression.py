"""Inflating request bodies: one gzip member, bounded output."""

import zlib

from chronoprof_sidecar.errors import BodyTooLargeError, MalformedRequestError

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def inflate_gzip(body: bytes, max_bytes: int) -> bytes:
    """Return what one gzip member holds, at most `max_bytes`; never allocates more than that.

    Raises:
        BodyTooLargeError: it would inflate to more.
        MalformedRequestError: not gzip, cut short, or followed by anything (a second member, too).
    """
    inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedRequestError(f"the body is not gzip: {error}") from None
    if len(inflated) > max_bytes:
        raise BodyTooLargeError(f"the body inflates to more than {max_bytes} bytes")
    if not inflater.eof:
        raise MalformedRequestError("the body is not gzip: it is cut short")
    if inflater.unused_data:
        raise MalformedRequestError("the body is more than one gzip member")
    return inflated
