"""Request bodies: read within a time and a size, and inflated within a size.

Owns which content types and encodings are taken. What the bytes mean is for `wire` to say.
"""

import asyncio
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError

from chronoprof_sidecar.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    MalformedRequestError,
    UnsupportedMediaError,
)
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.wire.compression import inflate_gzip

BROKEN_BODY: Final = (web.RequestPayloadError, HttpProcessingError)
"""What reading a body raises that ended too early, or whose chunks are malformed."""
_INFLATE_IN_THREAD_BYTES: Final = 16 * 1024
"""Compressed; inflating less takes well below a millisecond, about what handing it to a thread costs."""
_UTF_8: Final = frozenset({"charset=utf-8", 'charset="utf-8"'})


async def read_json_body(request: web.Request, settings: Settings) -> bytes:
    """Return the inflated body of a request that says it is JSON.

    Raises:
        UnsupportedMediaError: another content type, or an encoding other than gzip.
        BodyTooLargeError: too large as it arrives, or inflated.
        BodyTimeoutError: it did not arrive in time.
        MalformedRequestError: it ended too early, or is not the gzip that it says it is.
    """
    _check_type(request)
    encoding = _encoding_of(request)
    if (request.content_length or 0) > settings.max_body_bytes:
        raise _too_large(settings.max_body_bytes)
    body = await _read(request.content, settings)
    if encoding == "identity":
        return body
    if len(body) < _INFLATE_IN_THREAD_BYTES:
        return inflate_gzip(body, settings.max_inflated_bytes)
    return await asyncio.to_thread(inflate_gzip, body, settings.max_inflated_bytes)


def _check_type(request: web.Request) -> None:
    stated = request.headers.get("Content-Type", "")
    if stated == "application/json":  # what the shim says, and nearly everyone else
        return
    media_type, *parameters = (part.strip() for part in stated.lower().split(";"))
    if media_type != "application/json" or not _UTF_8.issuperset(parameters):
        raise UnsupportedMediaError("the Content-Type must be application/json, in UTF-8")


def _encoding_of(request: web.Request) -> str:
    encoding = ", ".join(request.headers.getall("Content-Encoding", ["identity"])).strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMediaError("the Content-Encoding must be gzip, or none")
    return encoding


async def _read(content: StreamReader, settings: Settings) -> bytes:
    max_bytes = settings.max_body_bytes
    try:
        if content.is_eof():  # it came whole with the head, as small ones do: no timer needed
            body = content.read_nowait()
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body
        async with asyncio.timeout(settings.body_timeout_seconds):
            return await _read_chunks(content, max_bytes)
    except TimeoutError:
        raise BodyTimeoutError(f"the body took longer than {settings.body_timeout_seconds:g} s") from None
    except BROKEN_BODY:
        raise MalformedRequestError("the body ended too early, or its chunks are malformed") from None


async def _read_chunks(content: StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {max_bytes} bytes (CHRONOPROF_MAX_BODY_BYTES)")
