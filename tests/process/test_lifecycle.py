"""The life of the process: how it starts, is told things, and ends."""

import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.process.sidecar import ADMIN_KEY, DEADLINE_SECONDS, INGEST_KEY, READ_KEY, Sidecar

INGEST = "/api/v1/profiling/ingest"
BATCH = {"samples": [{"function_name": "f", "duration": 0.5}]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_keeps_everything_and_exits_0(sidecar: Sidecar, number: int) -> None:
    """SIGTERM and SIGINT end it with status 0 within 8 s, and the next start has all that was acknowledged."""
    assert sidecar.request("POST", INGEST, BATCH)[0] == 200
    started = time.monotonic()
    assert sidecar.stop(number) == 0
    assert time.monotonic() - started < 8
    sidecar.start()
    assert sidecar.data()["f"]["calls"] == 1


def test_told_to_stop_it_ends_idle_and_stuck_connections(sidecar: Sidecar) -> None:
    """Neither a client that keeps an idle connection nor one in the middle of a body holds up the end."""
    with socket.create_connection(("127.0.0.1", sidecar.port)) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(("127.0.0.1", sidecar.port)) as stuck:
            head = f"POST {INGEST} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\nContent-Type: application/json\r\n"
            stuck.sendall(f"{head}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode())
            assert stuck.recv(65536).startswith(b"HTTP/1.1 100 ")
            started = time.monotonic()
            assert sidecar.stop() == 0
            assert time.monotonic() - started < 8
            assert idle.recv(65536) == b""
    assert "Traceback" not in sidecar.log()


def test_told_to_stop_it_finishes_a_request_in_progress(sidecar: Sidecar) -> None:
    """A batch whose body is still arriving when the end is asked for is counted and acknowledged."""
    body = b'{"samples": [{"function_name": "late", "duration": 0.5}]}'
    with socket.create_connection(("127.0.0.1", sidecar.port)) as slow:
        head = f"POST {INGEST} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert slow.recv(65536).startswith(b"HTTP/1.1 100 ")
        sidecar.process.send_signal(signal.SIGTERM)
        sidecar.wait_for_log("stopping")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sidecar.port)).close()
        slow.sendall(body)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert sidecar.process.wait(DEADLINE_SECONDS) == 0
    sidecar.start()
    assert sidecar.data()["late"]["calls"] == 1


def test_told_to_reload_it_takes_the_new_keys(tmp_path: Path) -> None:
    """SIGHUP reads the key files again: both keys are valid meanwhile, and a bad file changes nothing."""
    keys = tmp_path / "keys"
    keys.write_text("the-old-key-of-the-app\n")
    sidecar = Sidecar(tmp_path / "sidecar", CHRONOPROF_INGEST_KEYS_FILE=str(keys)).start()
    try:
        for content, said, old, new in (
            ("the-old-key-of-the-app\nthe-new-key-of-the-app\n", "ingest=3", 200, 200),
            ("short\n", "keys not reloaded", 200, 200),
            ("the-new-key-of-the-app\n", "ingest=2", 401, 200),
        ):
            keys.write_text(content)
            sidecar.process.send_signal(signal.SIGHUP)
            sidecar.wait_for_log(said)
            assert sidecar.request("POST", INGEST, BATCH, key="the-old-key-of-the-app")[0] == old
            assert sidecar.request("POST", INGEST, BATCH, key="the-new-key-of-the-app")[0] == new
        assert sidecar.stop() == 0
    finally:
        sidecar.close()


def test_a_second_sidecar_on_the_directory_is_refused(sidecar: Sidecar) -> None:
    """Two processes never share a store: the second says why and ends, and the first goes on."""
    second = Sidecar(sidecar.directory).start(wait=False)
    try:
        assert second.process.wait(DEADLINE_SECONDS) == 1
    finally:
        second.close()
    assert "Traceback" not in sidecar.log()
    assert str(sidecar.directory / "data") in sidecar.log()
    assert sidecar.request("POST", INGEST, BATCH)[0] == 200


def test_without_an_admin_key_it_does_not_start(tmp_path: Path) -> None:
    """There is no mode without keys: the start is refused with the command that makes one."""
    sidecar = Sidecar(tmp_path, CHRONOPROF_ADMIN_KEYS="").start(wait=False)
    try:
        assert sidecar.process.wait(DEADLINE_SECONDS) == 2
    finally:
        sidecar.close()
    assert "chronoprof keys" in sidecar.log()
    assert "Traceback" not in sidecar.log()


def test_a_taken_port_does_not_start(sidecar: Sidecar, tmp_path: Path) -> None:
    """A port that is taken ends the start with a line that names the setting, and leaves the store as it was."""
    other = Sidecar(tmp_path / "other")
    other.port = sidecar.port
    try:
        assert other.start(wait=False).process.wait(DEADLINE_SECONDS) == 2
    finally:
        other.close()
    assert f"CHRONOPROF_PORT={sidecar.port}" in other.log()
    assert "Traceback" not in other.log()


def test_no_key_reaches_the_log(tmp_path: Path) -> None:
    """At the most talkative level, no key that was set or sent, good or bad, in header or query, is in the log."""
    sidecar = Sidecar(tmp_path, CHRONOPROF_LOG_LEVEL="debug", CHRONOPROF_LOG_FORMAT="json").start()
    try:
        for key in (ADMIN_KEY, READ_KEY, INGEST_KEY, "canary-that-nobody-issued"):
            sidecar.request("GET", "/api/v1/profiling/data?canary=1", key=key)
            sidecar.request("POST", INGEST, BATCH, key=key)
            sidecar.request("GET", f"/api/v1/profiling/data?key={key}", key=None)
            sidecar.request("GET", f"/nowhere?key={key}", key=key, Authorization=f"Bearer {key}")
            with socket.create_connection(("127.0.0.1", sidecar.port)) as raw:
                raw.sendall(f"X-API-Key: {key}\r\n\r\n".encode())
                assert b" 400 " in raw.recv(65536)
        sidecar.process.send_signal(signal.SIGHUP)
        sidecar.wait_for_log("keys reloaded")
        assert sidecar.stop() == 0
    finally:
        sidecar.close()
    for key in (ADMIN_KEY, READ_KEY, INGEST_KEY, "canary"):
        assert key not in sidecar.log()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only")
def test_a_store_that_cannot_go_on_ends_the_process(sidecar: Sidecar) -> None:
    """A write that the disk refuses is not acknowledged, and the process ends so that the next start has the truth."""
    assert sidecar.request("POST", INGEST, BATCH)[0] == 200
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    assert sidecar.request("POST", INGEST, BATCH)[0] == 503
    assert sidecar.process.wait(DEADLINE_SECONDS) == 1
    assert "Traceback" not in sidecar.log()
    assert "the store cannot vouch for its state any more" in sidecar.log()
    sidecar.start()
    assert sidecar.data()["f"]["calls"] == 1
