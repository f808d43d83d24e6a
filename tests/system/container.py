"""Runs a service of docker-compose.yml without Docker: the same user, mounts, environment and process 1, by bubblewrap.

The virtual environment of the tests stands in for the image's, unless the image itself was built; the network is this
machine's.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.image import ROOT, Image, read_image

OWN_MOUNTS = {"data", "dev", "proc", "run", "sys", "tmp"}
"""Of the root directory: what a container does not get from the image."""


def read_service(name: str) -> dict[str, Any]:
    """Return a service as Compose resolves it."""
    command = [str(Path(sys.prefix) / "bin" / "docker-compose"), "--file", str(ROOT / "docker-compose.yml"), "config"]
    printed = subprocess.run([*command, "--format=json"], capture_output=True, timeout=30, check=True).stdout
    service: dict[str, Any] = json.loads(printed)["services"][name]
    return service


class Container:
    """A service of docker-compose.yml with its volume and its secrets in `directory`."""

    def __init__(
        self, service_name: str, directory: Path, environ: Mapping[str, str], built: tuple[Image, Path] | None = None
    ) -> None:
        """Prepare the mounts.

        Args:
            service_name: which service.
            directory: holds the secrets and gets the volumes.
            environ: wins over what image and Compose say, as `docker run --env` would.
            built: the image and where its root directory lies; None has this machine's stand in for it.
        """
        self._service = read_service(service_name)
        self._directory = directory
        if built:
            self.image, self._root = built
        else:
            self.image, self._root = read_image(self._service["build"]["target"]), Path("/")
        self._environ = self.image.environ | self._service["environment"] | environ
        if not built:
            self._environ["PATH"] = f"{sys.prefix}/bin:/usr/bin:/bin"
        for path in self.image.volumes:
            self.host_path(path).mkdir(exist_ok=True)

    @property
    def grace_seconds(self) -> float:
        """How long Docker waits between the stop signal and SIGKILL."""
        return float(self._service["stop_grace_period"].removesuffix("s"))

    def host_path(self, path: str) -> Path:
        """Return where a volume of the container lies outside of it."""
        return self._directory / path.removeprefix("/")

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, beside the service, as `docker exec` does."""
        return subprocess.run(self._wrap(command), capture_output=True, text=True, timeout=30, check=False)

    @contextmanager
    def running(self) -> "Iterator[Running]":
        """Run the service inside the block; kill it if it is left behind."""
        reader, writer = os.pipe()
        wrapped = self._wrap([*self.image.entrypoint, *self.image.command], "--as-pid-1", "--info-fd", str(writer))
        with subprocess.Popen(wrapped, pass_fds=[writer], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            os.close(writer)
            with os.fdopen(reader) as info:
                child_pid = json.load(info)["child-pid"]
            try:
                yield Running(self, process, child_pid)
            finally:
                process.kill()  # --die-with-parent takes process 1 along, and that all others

    def _wrap(self, command: Sequence[str], *options: str) -> list[str]:
        uid, gid = self.image.user.split(":")
        arguments = ["bwrap", "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        arguments += ["--uid", uid, "--gid", gid, "--cap-drop", "ALL", *options]
        for entry in sorted(self._root.iterdir()):
            if entry.is_symlink():
                arguments += ["--symlink", str(entry.readlink()), f"/{entry.name}"]
            elif entry.name not in OWN_MOUNTS:
                arguments += ["--ro-bind", str(entry), f"/{entry.name}"]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        for mount in self._service["tmpfs"]:
            arguments += ["--tmpfs", mount.partition(":")[0]]
        for path in {str(ROOT), sys.prefix, sys.base_prefix} if self._root == Path("/") else ():
            arguments += ["--ro-bind", path, path]
        for secret in self._service["secrets"]:
            source = self._directory / "secrets" / secret["source"]
            arguments += ["--ro-bind", str(source), secret["target"]]
        for path in self.image.volumes:
            arguments += ["--bind", str(self.host_path(path)), path]
        arguments += ["--remount-ro", "/", "--chdir", "/", "--clearenv"]
        for name, value in self._environ.items():
            arguments += ["--setenv", name, value or ""]
        return [*arguments, "--", *command]


@dataclass
class Running:
    """A running service."""

    container: Container
    _process: subprocess.Popen[bytes]
    _child_pid: int

    def is_healthy(self) -> bool:
        """Say what the image's own health check says."""
        return self.container.execute(*self.container.image.healthcheck).returncode == 0

    def has_ended(self) -> bool:
        """Say whether process 1 is gone."""
        return self._process.poll() is not None

    def stop(self) -> tuple[int, str]:
        """Stop the service as Docker does; return its exit code and all that it printed."""
        with suppress(ProcessLookupError):  # it ended by itself: what it printed says why
            os.kill(self._child_pid, signal.Signals[self.container.image.stop_signal])
        output, _ = self._process.communicate(timeout=self.container.grace_seconds)
        return self._process.returncode, output.decode()
