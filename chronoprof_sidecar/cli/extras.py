"""What to say when a command needs packages that a bare installation does not have."""

from collections.abc import Iterator
from contextlib import contextmanager

from chronoprof_sidecar.errors import ChronoprofError


class MissingExtraError(ChronoprofError):
    """A package of an extra is not installed; the message says how to install it."""

    code = "missing_extra"


@contextmanager
def needs_extra(extra: str, command: str) -> Iterator[None]:
    """Import inside this block what `command` has from the extra `extra`.

    Raises:
        MissingExtraError: a third-party module is missing; one of our own would be a bug and stays what it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "chronoprof_sidecar":
            raise
        raise MissingExtraError(
            f"`chronoprof {command}` needs {error.name.split('.')[0]}, which is not installed:"
            f" pip install 'chronoprof-sidecar[{extra}]'"
        ) from error
