"""A PostgreSQL server of our own: Debian's programs on a directory of the test's, gone with it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

USER = "postgres"
"""Debian's user for it, which our servers run as where the tests are root: PostgreSQL refuses that."""
_START_SECONDS = 30


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, those of the newest release there is."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else str(shutil.which(name) or name)


def find_release() -> str:
    """Return the release that runs, as it calls itself."""
    return subprocess.run([program("postgres"), "--version"], check=True, capture_output=True, text=True).stdout.strip()


def as_user(*command: str) -> list[str]:
    """Return the command as the user who may run PostgreSQL."""
    # Not runuser: it stays as a parent, and stops with a child that is frozen.
    become = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"] if os.geteuid() == 0 else []
    return [*become, *command]


class PostgresqlServer:
    """One server on a free port of the loopback interface, and one database of it."""

    def __init__(self, directory: Path, *, copy_of: "PostgresqlServer | None" = None) -> None:
        """Make a cluster in an empty directory; `copy_of` is a running server that it is to follow as a standby."""
        if os.geteuid() == 0:
            shutil.chown(directory, USER)
        self._directory = directory
        self._data = directory / "data"
        if copy_of is None:
            # Checksums: pg_rewind asks for them.
            making = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--data-checksums"]
            self._run("initdb", "--pgdata", str(self._data), "--no-sync", *making)
        else:
            copying = ["--write-recovery-conf", "--checkpoint", "fast", "--no-sync"]
            self._run("pg_basebackup", "--pgdata", str(self._data), "--dbname", copy_of.url(), *copying)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Its first process, the parent of all others."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start it, and return once it takes connections."""
        # A killed server loses nothing that it wrote: the machine stays up, so nothing needs to be on the disk.
        given = {"fsync": "off", "listen_addresses": "127.0.0.1", **(settings or {})}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        command = as_user(
            program("postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self._directory), *options
        )
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory)
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it: whoever is connected is cut off."""
        if self._process is not None:
            self._signal("fast")
            self._process.wait(_START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Have it die at once, as in a crash."""
        if self._process is not None:
            self._signal("immediate")
            self._process.wait(_START_SECONDS)
            self._process = None

    def kill_9(self) -> None:
        """Kill all of its processes at once, as a power cut would."""
        assert self._process is not None
        self._send(signal.SIGKILL, self._freeze())
        self._process.wait(_START_SECONDS)
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of its processes where they are: connections stay open, new ones are taken, and nobody answers."""
        processes = self._freeze()
        try:
            yield
        finally:
            self._send(signal.SIGCONT, processes)

    def rewind_to(self, primary: "PostgresqlServer") -> None:
        """Have a server that does not run take back what `primary` never had, and follow it from its next start."""
        following = ["--source-server", primary.url(), "--write-recovery-conf", "--no-sync"]
        self._run("pg_rewind", "--target-pgdata", str(self._data), *following)

    def _freeze(self) -> list[int]:
        assert self._process is not None
        first = self._process.pid
        os.kill(first, signal.SIGSTOP)  # before it has another child
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        processes = [first, *map(int, children)]
        self._send(signal.SIGSTOP, processes)
        return processes

    def _send(self, number: int, processes: Iterable[int]) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            as_user(program(name), *arguments), check=False, capture_output=True, text=True, cwd=self._directory
        )
        assert done.returncode == 0, done.stderr

    def _signal(self, mode: str) -> None:
        stopping = as_user(program("pg_ctl"), "stop", "--wait", "--pgdata", str(self._data), "--mode", mode)
        subprocess.run(stopping, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._directory)

    def _wait_until_ready(self) -> None:
        asking = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(asking, check=False).returncode:
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                raise RuntimeError((self._directory / "log").read_text())
            time.sleep(0.02)


@contextmanager
def running_server(settings: Mapping[str, str] | None = None) -> Iterator[PostgresqlServer]:
    """Run a server, in a directory that its user can reach: pytest's own are closed to it."""
    with TemporaryDirectory(prefix="chronoprof-postgresql-") as directory:
        server = PostgresqlServer(Path(directory))
        server.start(settings)
        try:
            yield server
        finally:
            server.stop()
