"""Clients that take their time, by the hundred: honest ones are served meanwhile, and the slow ones are gone soon."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.honest import NAME, HonestClient, p99
from tests.process.sidecar import ADMIN_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import FULL, scaled

CLIENTS = scaled(10, full=500)
"""Of each kind."""
SHORT_LIMITS = {"CHRONOPROF_HEADER_TIMEOUT": "1", "CHRONOPROF_BODY_TIMEOUT": "1", "CHRONOPROF_IDLE_TIMEOUT": "1.5"}
"""At full scale they are the defaults."""
GONE_SECONDS = 15
DEADLINE_SECONDS = 60.0
HARMED_SECONDS = 10
"""What no honest answer may take on the slowest machine that runs the tests."""
DRIP_SECONDS = 0.25
HEAD = f"Host: a\r\nX-API-Key: {ADMIN_KEY}\r\n"
HELD_STATES = {"01", "04", "08", "09", "0B"}
"""Of TCP: those in which a connection has a descriptor of the sidecar, or the kernel keeps bytes for it."""


@pytest.fixture(autouse=True, scope="module")
def enough_files() -> Iterator[None]:
    """Let this process have as many connections as the attack at full scale takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 4096 else max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A running sidecar with a save that no socket buffer holds."""
    running = Sidecar(tmp_path_factory.mktemp("slow"), **({} if FULL else SHORT_LIMITS)).start()
    durations = {f"{number}{'n' * 480}": [1] for number in range(1500)}
    assert running.request("POST", "/api/v1/profiling/ingest", {"durations": durations})[0] == 200
    assert running.request("POST", "/api/v1/profiling/save?file_path=large.json")[0] == 200
    yield running
    running.close()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drop: bytes) -> None:
    """Send a little, again and again, until the other end hangs up."""
    end = asyncio.ensure_future(reader.read())
    while not end.done():
        writer.write(drop)
        await asyncio.wait([end], timeout=DRIP_SECONDS)
    await end


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect, and that is all."""
    await reader.read()


async def drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head that never ends."""
    writer.write(f"GET /api/v1/profiling/data HTTP/1.1\r\n{HEAD}X-Slow: ".encode())
    await drip(reader, writer, b"a")


async def drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body that takes for ever."""
    head = f"POST /api/v1/profiling/ingest HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\n".encode())
    await drip(reader, writer, b" ")


async def drip_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body of one blank after the other, to a route that refuses it at once."""
    writer.write(f"POST /api/v1/profiling/save?no= HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    await drip(reader, writer, b"1\r\n \r\n")


async def stay_idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask once, and then nothing more."""
    writer.write(f"GET /health HTTP/1.1\r\n{HEAD}\r\n".encode())
    await reader.read()


async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for much, and take a few bytes at a time."""
    writer.write(f"GET /api/v1/profiling/saves/large.json HTTP/1.1\r\n{HEAD}\r\n".encode())
    while await reader.read(256):  # noqa: ASYNC110 -- the pace of this client; nothing is waited for
        await asyncio.sleep(DRIP_SECONDS)


async def take_nothing(writer: asyncio.StreamWriter, *requests: str) -> None:
    """Ask, and take nothing of what comes."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write("".join(f"GET {request}\r\n\r\n" for request in requests).encode())
    await asyncio.Event().wait()


async def read_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for more than any buffer holds, which takes no key, and read none of it."""
    await take_nothing(writer, *["/openapi.json HTTP/1.1\r\nHost: a"] * 20)


async def leave_it_to_the_kernel(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for what the kernel's buffer holds, so that the sidecar itself has nothing left to send."""
    await take_nothing(writer, "/openapi.json HTTP/1.1\r\nHost: a")


async def leave_it_to_the_kernel_alone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same, on a connection that the sidecar closes behind its answer."""
    await take_nothing(writer, "/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close")


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
KINDS: dict[str, Behaviour] = {
    "nothing at all": say_nothing,
    "a dripping head": drip_head,
    "a dripping body": drip_body,
    "a dripping body of a refused request": drip_chunks,
    "idle": stay_idle,
    "reading slowly": read_slowly,
    "reading nothing": read_nothing,
    "an answer left to the kernel": leave_it_to_the_kernel,
    "an answer left to the kernel alone": leave_it_to_the_kernel_alone,
}
WAVES = {name: [behave] for name, behave in KINDS.items()} if FULL else {"every kind at once": list(KINDS.values())}


async def connect(sidecar: Sidecar) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect with a buffer so small that what this end does not read stays with the other."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", sidecar.port))
    return await asyncio.open_connection(sock=connected, limit=1024)


def held(sidecar: Sidecar) -> set[int]:
    """Return the ports of those clients whose connections the sidecar, or the kernel on its behalf, still holds."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = f":{sidecar.port:04X}"
    return {int(line[2].partition(":")[2], 16) for line in lines if line[1].endswith(local) and line[3] in HELD_STATES}


async def attack(sidecar: Sidecar, kinds: list[Behaviour]) -> float:
    """Let slow clients of these kinds loose; return how many seconds after the last had come all of them were gone."""

    async def last(behave: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await behave(reader, writer)
        writer.transport.abort()

    writers, clients = [], []
    for behave in kinds * CLIENTS:  # one after the other: that many at one moment would be a flood
        reader, writer = await connect(sidecar)
        writers.append(writer)
        clients.append(asyncio.ensure_future(last(behave, reader, writer)))
    started = time.monotonic()
    ports = {writer.get_extra_info("sockname")[1] for writer in writers}
    await asyncio.to_thread(wait_until, lambda: not ports & held(sidecar), "the end of the attack", DEADLINE_SECONDS)
    seconds = time.monotonic() - started
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    for writer in writers:
        writer.transport.abort()
    return seconds


def calls_of_honest(sidecar: Sidecar) -> int:
    """Return how many calls of honest clients were counted."""
    return sidecar.calls().get(NAME, 0)


@pytest.fixture(scope="module")
def quiet_p99(sidecar: Sidecar) -> str:
    """What an honest client sees without an attack."""
    with HonestClient(sidecar) as honest:
        wait_until(lambda: calls_of_honest(sidecar) > scaled(50, full=500), "honest calls", DEADLINE_SECONDS)
    return p99(honest.seconds)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kinds", WAVES.values(), ids=WAVES)
async def test_slow_clients(sidecar: Sidecar, kinds: list[Behaviour], quiet_p99: str, proof: Proof) -> None:
    """Hundreds of clients that are silent, drip a head or a body, stay idle, read slowly or not at all are soon gone,
    out of the kernel, too, and harm no honest client."""
    before = calls_of_honest(sidecar)
    with HonestClient(sidecar) as honest:
        seconds = await attack(sidecar, kinds)
    proof.reached("slow clients", CLIENTS * len(kinds))
    proof.reached("the last of them gone after", f"{seconds:.1f} s", goal=f"{GONE_SECONDS} s")
    proof.reached("honest p99", f"{p99(honest.seconds)}, without attackers {quiet_p99}", goal="50 ms")
    assert calls_of_honest(sidecar) == before + len(honest.seconds)
    assert max(honest.seconds) < HARMED_SECONDS


def has_room(sidecar: Sidecar) -> bool:
    """Say whether a new connection is served."""
    try:
        return sidecar.request("GET", "/health/ready")[0] == 200
    except OSError:  # closed before the request was read
        return False


@pytest.mark.timeout(150)
async def test_more_clients_than_connections(tmp_path: Path, proof: Proof) -> None:
    """Of more clients than may be served at once, those beyond the cap are told 503 and closed at once, while an honest
    one that was there before is served, and there is room again when they have gone."""
    cap, clients = scaled(30, full=1000), scaled(90, full=1500)
    sidecar = Sidecar(tmp_path / "sidecar", CHRONOPROF_MAX_CONNECTIONS=str(cap)).start()
    try:
        with HonestClient(sidecar) as honest:
            pairs = await asyncio.gather(*(connect(sidecar) for _ in range(clients)))
            ends = {asyncio.ensure_future(reader.read()) for reader, _ in pairs}
            refused: set[asyncio.Task[bytes]] = set()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while len(refused) < clients - (cap - 1):
                    refused, _ = await asyncio.wait(ends, timeout=0.1)
            answers = {end.result()[:13] for end in refused}
            for _, writer in pairs:
                writer.transport.abort()
            await asyncio.gather(*ends, return_exceptions=True)
            wait_until(lambda: has_room(sidecar), "room for an operator")
        proof.reached("clients", f"{clients} for {cap} connections")
        proof.reached("refused", len(refused), goal=clients - (cap - 1))
        proof.reached("honest p99", p99(honest.seconds), goal="50 ms")
        assert (clients - (cap - 1), {b"HTTP/1.1 503 "}) == (len(refused), answers)
        assert calls_of_honest(sidecar) == len(honest.seconds)
    finally:
        sidecar.close()
