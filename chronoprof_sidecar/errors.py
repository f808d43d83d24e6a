"""Every deliberate error, each with the `code` that an answer carries.

Owns the vocabulary of failure. Knows nothing of HTTP: `server/errors.py` holds the one table from code to status.
Stdlib-only, because the client shim shares it.
"""

from typing import ClassVar


class ChronoprofError(Exception):
    """Base of everything that is refused on purpose; `str(error)` is safe to show to whoever asked."""

    code: ClassVar[str] = "error"


class SettingsError(ChronoprofError):
    """A setting is missing, unknown or has a bad value; the message names setting and value, never a secret."""

    code = "bad_setting"


class MalformedRequestError(ChronoprofError):
    """A request or one of its parameters cannot be understood; nothing was applied."""

    code = "malformed"


class UnauthorizedError(ChronoprofError):
    """No key, or a key that nobody issued."""

    code = "unauthorized"


class ForbiddenError(ChronoprofError):
    """The key is known but its role may not do this, or the request comes from a foreign page."""

    code = "forbidden"


class NotFoundError(ChronoprofError):
    """The named thing does not exist."""

    code = "not_found"


class BodyTimeoutError(ChronoprofError):
    """A request body did not arrive within its time."""

    code = "body_timeout"


class GenerationConflictError(ChronoprofError):
    """The generation that the caller meant is no longer the current one; nothing changed."""

    code = "generation_conflict"


class FileExistsConflictError(ChronoprofError):
    """A save of that name exists and may not be replaced by this request; nothing changed."""

    code = "file_exists"


class SequenceGapError(ChronoprofError):
    """A batch does not follow its sender's last one, or its sender is unknown; nothing was applied."""

    code = "sequence_gap"


class BodyTooLargeError(ChronoprofError):
    """A request body exceeds its limit, before or after inflating; nothing was applied."""

    code = "body_too_large"


class UnsupportedMediaError(ChronoprofError):
    """A content type or content encoding that this route does not take."""

    code = "unsupported_media"


class MisdirectedError(ChronoprofError):
    """The request names a host that this sidecar does not answer for."""

    code = "misdirected"


class SequenceReusedError(ChronoprofError):
    """A sender used the sequence number of its last batch for another body; nothing was applied."""

    code = "sequence_reused"


class TooManyBadKeysError(ChronoprofError):
    """One address tried too many unknown keys."""

    code = "too_many_bad_keys"

    def __init__(self, message: str, retry_after_seconds: int = 60) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(ChronoprofError):
    """The service cannot do this now but expects to later: draining, queue full, disk full, too many senders."""

    code = "unavailable"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SavesFullError(ChronoprofError):
    """The bound on the number or the total size of saves is reached; nothing was written or deleted."""

    code = "saves_full"


class StoreError(ChronoprofError):
    """The store cannot be opened or trusted; the message says what to do."""

    code = "store"
