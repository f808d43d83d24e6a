"""Which store: the one place that knows them all."""

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.setting_values import EMBEDDED
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store import embedded
from chronoprof_sidecar.store.contract import Store


async def open_store(settings: Settings) -> Store:
    """Open the store that `settings.store` names.

    Raises:
        StoreError: it cannot be used; the message says what to do.
    """
    if settings.store == EMBEDDED:
        return await embedded.open_store(settings)
    try:
        from chronoprof_sidecar.store import postgresql  # noqa: PLC0415 -- optional: the extra `fleet`
    except ImportError:
        raise StoreError(
            "a database as CHRONOPROF_STORE takes the extra `fleet`: pip install 'chronoprof-sidecar[fleet]'"
        ) from None
    return await postgresql.open_store(settings)
