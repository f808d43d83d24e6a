"""gevent, whose patch may come before the shim is imported or after it was used."""

import ssl
from pathlib import Path

import pytest
import trustme

from tests.client.scripted import KEY, ScriptedSidecar, serve
from tests.hosts.script import Script
from tests.process.sidecar import Sidecar

pytest.importorskip("gevent", reason="gevent cannot be installed for this Python")

PATCH = """\
import gevent.monkey
gevent.monkey.patch_all()
"""
USE = """\
from chronoprof_sidecar.client import profiler
profiler.record("early", 0.1)
"""
WORK = """\
import gevent

@profiler.timed("work")
def work():
    gevent.sleep(0.001)

def work_much():
    for _ in range(100):
        work()

for greenlet in [gevent.spawn(work_much) for _ in range(20)]:
    greenlet.get()
"""
# gevent itself warns of a patch that comes after the import of ssl, which comes with http.client.
IGNORE_GEVENT = "import warnings; warnings.simplefilter('ignore')\n"

ORDERS = {"before": PATCH + USE, "after": IGNORE_GEVENT + USE + PATCH}


@pytest.mark.parametrize("order", ORDERS)
def test_gevent(sidecar: Sidecar, script: Script, order: str) -> None:
    """Greenlets go on while the shim sends, and all that they time is counted once."""
    script.run(ORDERS[order] + WORK)
    assert {"early": 1, "work": 2000} == sidecar.calls()
    assert [True] == [sender["final"] for sender in sidecar.senders()]


@pytest.mark.parametrize("order", ORDERS)
def test_gevent_that_never_yields(sidecar: Sidecar, script: Script, order: str) -> None:
    """An app whose greenlets compute without ever giving way is shipped meanwhile."""
    busy = """\
with profiler.timer("busy"):
    while profiler.stats().acknowledged < 1:
        sum(range(1000))
"""
    script.run(ORDERS[order] + busy)
    assert {"early": 1, "busy": 1} == sidecar.calls()


@pytest.mark.parametrize("order", ORDERS)
def test_gevent_and_tls(script: Script, tmp_path: Path, order: str) -> None:
    """gevent's patch of `ssl`, too, may come at any time."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with serve(ScriptedSidecar(), tls=context) as scripted:
        script.run(
            ORDERS[order] + WORK,
            CHRONOPROF_URL=scripted.url,
            CHRONOPROF_API_KEY=KEY,
            SSL_CERT_FILE=str(tmp_path / "authority.pem"),
        )
        assert {"early": 1, "work": 2000} == scripted.calls
