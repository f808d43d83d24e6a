"""Whether the sidecar of this container lives: `python -m chronoprof_sidecar.server.probe`, the image's health check.

It runs every ten seconds, so it loads nothing but what it needs, and of the settings looks at the three that say where
the sidecar listens and whether it speaks TLS there.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from typing import Final

_TIMEOUT_SECONDS: Final = 4.0
"""Less than the 5 s after which the Dockerfile gives up on the check itself."""
_REACHED_AT: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  asked, not listened on


def is_alive(environ: Mapping[str, str]) -> bool:
    """Ask the sidecar that listens where `environ` says."""
    host = environ.get("CHRONOPROF_HOST", "")
    port = int(environ.get("CHRONOPROF_PORT") or 8000)
    connection = _connect(_REACHED_AT.get(host, host), port, tls=bool(environ.get("CHRONOPROF_TLS_CERT_FILE")))
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connect(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    # The certificate is for the name that others know it by, it is this machine that answers, and no secret is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)


if __name__ == "__main__":
    sys.exit(0 if is_alive(os.environ) else 1)
