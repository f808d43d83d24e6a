"""A key that would be recognised anywhere, searched for wherever a sidecar, a command or an app may show something."""

import argparse
import json
import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import Role, load_keyring
from chronoprof_sidecar.cli.logs import JsonFormatter, TextFormatter
from chronoprof_sidecar.cli.main import COMMANDS, main
from chronoprof_sidecar.cli.target import find_target
from chronoprof_sidecar.client import Profiler
from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.server.context import GATE
from chronoprof_sidecar.settings import SPECS, Settings, load_settings
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from tests.attacks.asking import API, Reply, ask, with_key
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "chronoprof_sidecar")
APP = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from chronoprof_sidecar.client import profiler
profiler.record("f", 0.1)
print(profiler.flush(0.5), profiler.stats(), repr(profiler))
"""


class Canary:
    """A key, and everything that it would be recognised by."""

    def __init__(self, role: str) -> None:
        self.core = secrets.token_hex(20)
        self.key = f"chp_{role}_{self.core}"
        digest = sha256(self.key.encode()).hexdigest()
        # A part of a key is a leak, too.
        self._traces = [text[i : i + 12].encode() for text in (self.core, digest) for i in range(len(text) - 11)]

    def sings_in(self, content: bytes) -> bool:
        """Say whether any part of the key, or of its digest, stands in `content`."""
        lowered = content.lower()
        return any(trace in lowered for trace in self._traces)


class Aviary:
    """The canaries of one test, and where they were looked for."""

    def __init__(self) -> None:
        self.admin, self.read, self.ingest = (Canary(role) for role in Role)
        self.unknown, self.filed = Canary("unknown"), Canary("filed")
        self.searched = 0
        self.found: list[str] = []

    def search(self, where: str, content: bytes) -> None:
        """Note `where` if any canary sings there."""
        self.searched += 1
        canaries = (self.admin, self.read, self.ingest, self.unknown, self.filed)
        if any(canary.sings_in(content) for canary in canaries):
            self.found.append(where)

    def search_reply(self, where: str, reply: Reply) -> None:
        """Search an answer, its headers included."""
        self.search(where, repr(reply.headers).encode() + reply.body)

    def search_process(self, pid: int) -> None:
        """Search what `ps` shows of a process and its threads; their environment is for their owner alone."""
        self.search("command line", Path(f"/proc/{pid}/cmdline").read_bytes())
        for name in Path(f"/proc/{pid}/task").glob("*/comm"):
            self.search("thread name", name.read_bytes())

    def search_files(self, directory: Path) -> None:
        """Search the names and the bytes of all files below a directory."""
        for path in directory.rglob("*"):
            self.search("file name", bytes(path))
            if path.is_file():
                self.search(str(path.relative_to(directory)), path.read_bytes())


@pytest.fixture
def aviary() -> Aviary:
    """Keys made for this test."""
    return Aviary()


@pytest.fixture(params=["text", "json"])
def sidecar(request: pytest.FixtureRequest, tmp_path: Path, aviary: Aviary) -> Iterator[Sidecar]:
    """A sidecar that says as much as it can be made to, with keys from everywhere."""
    (tmp_path / "keys").write_text(aviary.filed.key)
    running = Sidecar(
        tmp_path / "sidecar",
        CHRONOPROF_LOG_LEVEL="debug",
        CHRONOPROF_LOG_FORMAT=request.param,
        CHRONOPROF_ADMIN_KEYS=aviary.admin.key,
        CHRONOPROF_READ_KEYS=aviary.read.key,
        CHRONOPROF_INGEST_KEYS=aviary.ingest.key,
        CHRONOPROF_READ_KEYS_FILE=str(tmp_path / "keys"),
        PYTHONASYNCIODEBUG="1",
    ).start()
    yield running
    running.close()


def run_command(aviary: Aviary, environ: dict[str, str], *argv: str) -> None:
    """Run a program and search all that is seen of it."""
    process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1)
    wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(argv[0].encode()), "the program")
    aviary.search_process(process.pid)
    for content in process.communicate(timeout=DEADLINE_SECONDS):
        aviary.search(f"output of {argv[1:]}", content)


def ask_everything(aviary: Aviary, sidecar: Sidecar) -> None:
    """Show keys in every place that is right, and in those where people put them by mistake."""
    canaries = (aviary.admin, aviary.read, aviary.ingest, aviary.unknown, aviary.filed)
    for canary in canaries:
        key = canary.key
        for method, path in (
            ("GET", "data"),
            ("POST", "reset"),
            ("POST", "save"),
            ("GET", "saves"),
            ("GET", "senders"),
        ):
            aviary.search_reply(path, ask(sidecar, method, f"{API}/{path}", with_key(key)))
            aviary.search_reply(path, ask(sidecar, method, f"{API}/{path}", (("Authorization", f"Bearer {key}"),)))
        for target in (
            f"{API}/data?X-API-Key={key}",
            f"{API}/data?sort=calls&key={key}",
            f"/{key}",
            f"{API}/data/{key}",
        ):
            aviary.search_reply("misplaced key", ask(sidecar, "GET", target, with_key(aviary.read.key)))
        body = b'{"durations": {"f": [0.1]}, "key": "%s"}' % key.encode()
        for content in (body, body[:-1], b"", key.encode(), b"\x1f\x8b" + key.encode()):
            headers = (*with_key(key), ("Content-Type", "application/json"), ("User-Agent", key), ("Cookie", key))
            aviary.search_reply("ingest", ask(sidecar, "POST", f"{API}/ingest", headers, content))
        both = (*with_key(key), ("Authorization", f"Bearer {aviary.unknown.key}x"))
        aviary.search_reply("two keys", ask(sidecar, "GET", f"{API}/data", both))
    for malformed in (b"GET /%s\r\n\r\n", b"GET / HTTP/1.1\r\nX-API-Key %s\r\n\r\n", b"%s\r\n\r\n", b"\x16\x03%s"):
        with socket.create_connection(("127.0.0.1", sidecar.port), timeout=DEADLINE_SECONDS) as connection:
            connection.sendall(malformed % aviary.admin.key.encode())
            connection.shutdown(socket.SHUT_WR)
            aviary.search("answer to what is no HTTP", connection.makefile("rb").read())


def test_a_sidecar_shows_no_key(sidecar: Sidecar, aviary: Aviary, tmp_path: Path, proof: Proof) -> None:
    """No key, nor its digest, nor a part of either, stands in any answer, log line of any level, command line, file of
    the data directory or save of a real sidecar."""
    ask_everything(aviary, sidecar)
    for bad in (aviary.filed.core[:15], f"{aviary.read.key}\x07", f"{aviary.admin.key}", f"sha256:{aviary.filed.core}"):
        seen = sidecar.log().count("keys not reloaded")
        (tmp_path / "keys").write_text(bad)
        sidecar.process.send_signal(signal.SIGHUP)
        wait_until(lambda seen=seen: sidecar.log().count("keys not reloaded") > seen, "the bad file was noticed")
    aviary.search_process(sidecar.process.pid)
    assert sidecar.stop() == 0
    aviary.search_files(tmp_path / "sidecar")  # the log and the data directory
    proof.reached("places searched", aviary.searched)
    proof.reached("keys found", len(aviary.found), goal=0)
    assert aviary.found == []


@pytest.mark.parametrize("sidecar", ["text"], indirect=True)
def test_no_command_shows_a_key(sidecar: Sidecar, aviary: Aviary, tmp_path: Path, proof: Proof) -> None:
    """Nor does a key stand in the command lines of commands and apps, nor in what they print when it is refused, when
    nobody answers, and when the settings are wrong."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
    programs = [(*COMMAND, *words.split()) for words in ("data", "senders --json", "save a.json", "check", "serve")]
    places = ((sidecar.url, aviary.admin), (sidecar.url, aviary.unknown), ("http://127.0.0.1:1", aviary.read))
    cases = list(product(places, [*programs, (sys.executable, "-c", APP)]))
    for (url, canary), program in cases[:: scaled(5, full=1)]:
        environ = {**inherited, "CHRONOPROF_URL": url, "CHRONOPROF_API_KEY": canary.key, "ENABLE_PROFILING": "1"}
        environ |= {"CHRONOPROF_ADMIN_KEYS": f"{canary.key},short", "CHRONOPROF_DATA_DIR": str(tmp_path / "other")}
        run_command(aviary, environ, *program)
    proof.reached("places searched", aviary.searched)
    proof.reached("keys found", len(aviary.found), goal=0)
    assert aviary.found == []


async def test_a_bug_shows_no_key(
    aviary: Aviary,
    tmp_path: Path,
    aiohttp_client: AiohttpClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The traceback of an error that nobody foresaw has no key in it, nor has the answer."""

    async def fail(store: EmbeddedStore) -> None:
        raise RuntimeError(f"unforeseen in {store}")

    monkeypatch.setattr(EmbeddedStore, "senders", fail)
    app = create_app(Settings(data_dir=tmp_path, admin_keys=(aviary.admin.key,), min_free_bytes=0))
    client = await aiohttp_client(app)
    with caplog.at_level(logging.DEBUG):
        answer = await client.get(f"{API}/senders", headers={"X-API-Key": aviary.admin.key})
    assert answer.status == 500
    aviary.search("answer", await answer.read() + repr(answer.headers).encode())
    assert [record for record in caplog.records if record.exc_info]
    for record in caplog.records:
        for formatter in (TextFormatter(), JsonFormatter()):
            aviary.search("log", formatter.format(record).encode())
    for each in (app, app[GATE], app[GATE].keyring, list(app.items())):
        aviary.search("repr", repr(each).encode())
    assert aviary.found == []


def test_no_repr_shows_a_key(aviary: Aviary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a debugger or a careless log line prints of settings, targets, keyrings and profilers has no key in it, nor
    have the messages about settings that are wrong."""
    monkeypatch.chdir(tmp_path)
    key = aviary.admin.key
    environ = {"CHRONOPROF_ADMIN_KEYS": key, "CHRONOPROF_API_KEY": key, "ENABLE_PROFILING": "1"}
    settings = load_settings(environ)
    arguments = argparse.Namespace(url=None, key_file=None)
    for each in (settings, load_keyring(settings), find_target(arguments, environ), Profiler(environ=environ)):
        aviary.search("repr", f"{each!r} {each}".encode())
    for bad in (f"{key},,", f"{key}\x1b", f"{key},sha256:{aviary.read.core}", f"{key},{aviary.read.core[:15]}"):
        with pytest.raises(Exception, match="CHRONOPROF_ADMIN_KEYS") as caught:
            load_keyring(load_settings({"CHRONOPROF_ADMIN_KEYS": bad}))
        aviary.search("message", f"{caught.value!r} {caught.value}".encode())
    for line in (f"CHRONOPROF_ADMIN_KEYS {key}", f"CHRONOPROF_ADMIN_KEY={key}", f"CHRONOPROF_API_KEY='{key}"):
        (tmp_path / ".env").write_text(line)
        with pytest.raises(Exception, match=r"\.env") as caught:
            load_settings({})
        aviary.search("message", f"{caught.value!r} {caught.value}".encode())
    broken = Profiler(environ={**environ, "CHRONOPROF_API_KEY": f"{key}\xfc"})
    aviary.search("config error", repr(broken.stats()).encode())
    assert broken.stats().config_error is not None
    assert aviary.found == []


def flags_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Yield every flag and positional argument of a parser and its subparsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)
        yield from ((name, action) for name in action.option_strings or [action.dest])


def test_no_flag_takes_a_key() -> None:
    """Flags are in `ps` for everybody: those that speak of keys take the path of a file."""
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for command in COMMANDS:
        command.add_parser(subparsers)
    speaking = {name for name, _ in flags_of(parser) if re.search("key|secret|token|password", name)}
    assert speaking == {"--key-file", "--tls-key-file", *(f"--{role}-keys-file" for role in Role)}


@pytest.mark.parametrize("flag", sorted(spec.flag for spec in SPECS if spec.secret))
def test_a_flag_for_a_key_is_wrong_usage(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing starts with a key on its command line."""
    with pytest.raises(SystemExit, match="2"):
        main(["serve", f"{flag}=chp_admin_0123456789"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_no_page_recommends_a_flag_for_a_key() -> None:
    """Nowhere in the documentation, the settings file or the containers is a key an argument."""
    pages = [ROOT / name for name in ("Dockerfile", "docker-compose.yml", "Makefile")]
    pages += [*filter(Path.is_file, (ROOT / "config").rglob("*")), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = [
        (page.name, flag)
        for page in pages
        for flag in re.findall(r"(?<![\w-])--[a-z-]*key[a-z-]*", page.read_text())
        if not flag.endswith("-file")
    ]
    assert found == []


def test_a_key_reaches_no_child_by_its_arguments(tmp_path: Path) -> None:
    """`chronoprof keys --write` makes a file for its owner alone, and prints none of what it wrote."""
    done = subprocess.run(
        [*COMMAND, "keys", "--write", str(tmp_path / "made"), "--json"], capture_output=True, check=True, timeout=60
    )
    made = re.findall(rb"chp_[a-z]+_([\w-]+)", (tmp_path / "made").read_bytes())
    assert len(set(made)) == 3
    assert not any(core in done.stdout + done.stderr for core in made)
    assert json.loads(done.stdout)["path"] == str(tmp_path / "made")
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
