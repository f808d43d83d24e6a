"""Names of saves: whatever is asked for, and whatever lies in the save directory, nothing outside is touched."""

import multiprocessing
import os
import re
import socket
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.store.embedded import files
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.save_rules import SaveLimits
from tests.attacks.asking import API, Reply, ask, with_key
from tests.process.sidecar import ADMIN_KEY, Sidecar
from tests.proof import Proof
from tests.scale import scaled

ADMIN = with_key(ADMIN_KEY)
SECRET = b"what lies outside of the save directory"

PATHS = [
    *(
        "../a.json",
        "..",
        ".",
        "../../etc/cron.d/a.json",
        "/etc/passwd",
        "/a.json",
        "//a.json",
        "a/b.json",
        "a/../b.json",
    ),
    *("..\\a.json", "a\\b.json", "C:\\a.json", "C:a.json", "\\\\host\\a.json", "~/a.json", "~root.json", "$HOME.json"),
    *("file:///etc/passwd", "http://127.0.0.1/a.json", "a.json/", "./a.json", "a.json/.", "a:b.json", "a.json::$DATA"),
]
CONTROLS = [
    "\0",
    "a.json\0",
    "\0a.json",
    "a\0.json",
    "a\0/../b.json",
    "a.json\n",
    "a\r\n.json",
    "a\t.json",
    "a\x7f.json",
]
UNICODE = [
    *("\uff0e\uff0e\uff0fa.json", "\u2025/a.json", "\u2024\u2024/a.json", "a\uff0fb.json", "a\u2215b.json"),
    *("a\u2044b.json", "a\uff0ejson", "\uff41.json", "a\u0301.json", "\u00e9.json", "a\u202enosj.json", "\u202ea.json"),
    *("a\u200b.json", "\ufeffa.json", "a\u00ad.json", "\u212a.json", "a.j\u017fon", "\u0130.json", "a\u0338.json"),
    *("a\u00e9.json", "a\u0661.json", "a\u212a.json", "a\uff41.json", "a\u65e5.json", "a\u203f.json"),
    *("\u0661.json", "\U0001d41a.json", "a.json\u2028", "a\u00a0.json"),
]
SUFFIXES = [
    *("", "a", "json", ".json", ".csv", ".a.json", "-a.json", "_a.json", " a.json", "a.json ", "a.json.", "a b.json"),
    *(
        "a.db",
        "a.db-wal",
        "a.db-shm",
        "a.db-journal",
        "a.json-wal",
        "a.json-journal",
        "chronoprof.db",
        "chronoprof.db-wal",
    ),
    *("a.json~", "a.json.tmp", "a.json.gz", "a.py", "a.pth", "a.so", "a.csv.exe", ".save-0123456789abcdef.tmp"),
    *("a.JSON", "a.Json", "A.CSV", "a.jsoN", "NUL", "con.", "aux.txt", "a*.json", "a?.json", "[a].json", "{a}.json"),
    *(
        "a'b.json",
        'a".json',
        "a;b.json",
        "a|b.json",
        "a&b.json",
        "<a>.json",
        "`a`.json",
        "$(a).json",
        "a%.json",
        "a+b.json",
    ),
]
LENGTHS = ["a" * 124 + ".json", "a" * 250 + ".json", "a" * 251 + ".json", "a" * 5000 + ".json", "a" * 128, "." * 128]
ENCODED = ["%2e%2e%2fa.json", "%252e%252e%252fa.json", "a%00.json", "%2fetc%2fpasswd", "%5c..%5ca.json", "%u002e.json"]
HOSTILE = [*PATHS, *CONTROLS, *UNICODE, *SUFFIXES, *LENGTHS, *ENCODED]
RAW = [
    "%ED%A0%80.json",
    "%FF.json",
    "%c0%ae%c0%ae%c0%afa.json",
    "%",
    "%2",
    "%zz.json",
    "a.json%0",
    "..;/a.json",
    "a.json;x",
]
"""What is no UTF-8, or no percent-encoding, goes on the wire as it stands here."""

PLAIN = ["a.json", "A.json", "0.csv", "a..json", "a.-_.json", "a.csv.json", "chronoprof.db.json", "a.db-wal.csv"]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar with a window to save, beside a directory that is none of its business."""
    yield from start_beside_outside(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """The same, for tests that leave nothing strange behind."""
    yield from start_beside_outside(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def sidecar_in_memory() -> Iterator[Sidecar]:
    """The same in a file system in memory, where no swap of a name waits for the sync of a save."""
    with TemporaryDirectory(dir="/dev/shm") as directory:
        yield from start_beside_outside(Path(directory))


def start_beside_outside(directory: Path) -> Iterator[Sidecar]:
    """Start a sidecar, and make the directory that is none of its business."""
    (directory / "outside").mkdir()
    (directory / "outside" / "secret.json").write_bytes(SECRET)
    running = Sidecar(directory / "sidecar", CHRONOPROF_KEEP_SAVES="20", CHRONOPROF_MIN_FREE_BYTES="0").start()
    status, _ = running.request("POST", f"{API}/ingest", {"durations": {"f": [0.1]}})
    assert status == 200
    yield running
    running.close()


def saves_of(sidecar: Sidecar) -> Path:
    """Return where the saves of a sidecar are."""
    return sidecar.directory / "data" / "saves"


@pytest.fixture
def saves(sidecar: Sidecar) -> Path:
    """Where its saves are."""
    return saves_of(sidecar)


def save(sidecar: Sidecar, name: str, step: str = "save") -> Reply:
    """Save, or rotate, to a name."""
    return ask(sidecar, "POST", f"{API}/{step}?file_path={quote(name, safe='')}", ADMIN)


def download(sidecar: Sidecar, name: str) -> Reply:
    """Ask for a save."""
    return ask(sidecar, "GET", f"{API}/saves/{quote(name, safe='')}", ADMIN)


def listed(sidecar: Sidecar) -> list[str]:
    """Return the names of all saves."""
    return [each["name"] for each in ask(sidecar, "GET", f"{API}/saves", ADMIN).json()["saves"]]


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, time of change, and content or target, of everything below a directory but the database and log."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_mode, path.lstat().st_mtime_ns, content_of(path))
        for path in sorted(directory.rglob("*"))
        if not path.name.startswith("chronoprof.db") and path.name != "sidecar.log"
    }


def content_of(path: Path) -> bytes:
    """Return what a file holds, or where a link leads."""
    if path.is_symlink():
        return bytes(path.readlink())
    return path.read_bytes() if path.is_file() else b""


def test_hostile_names(shared: Sidecar, proof: Proof) -> None:
    """A name that is not plain is refused by save, rotate and download, in every encoding, and changes no file."""
    before, generation = tree(shared.directory.parent), generation_of(shared)
    spelled = [
        *(quote(name, safe="") for name in HOSTILE),
        *(quote(quote(name, safe="%"), safe="") for name in HOSTILE),
    ]
    wrong = []
    for name in (*dict.fromkeys(spelled), *RAW):
        answers = {
            ask(shared, "POST", f"{API}/save?file_path={name}", ADMIN).status,
            ask(shared, "POST", f"{API}/save?file_path={name}&overwrite=false", ADMIN).status,
            ask(shared, "POST", f"{API}/rotate?file_path={name}", ADMIN).status,
        }
        read = ask(shared, "GET", f"{API}/saves/{name}", ADMIN)
        if answers != {400} or (read.status not in {400, 404} and read.body != b'{"saves":[]}'):
            wrong.append((name, answers, read.status))
    proof.reached("names", len(spelled) + len(RAW))
    proof.reached("taken", len(wrong), goal=0)
    assert wrong == []
    assert before == tree(shared.directory.parent)
    assert generation == generation_of(shared)


def generation_of(sidecar: Sidecar) -> int:
    """Return the number of the current window."""
    generation: int = sidecar.request("GET", f"{API}/data")[1]["meta"]["generation"]
    return generation


def test_plain_names(shared: Sidecar) -> None:
    """A plain name of up to 128 characters becomes that very file, which its owner alone can read."""
    names, saves = [*PLAIN, "z" * 123 + ".json"], saves_of(shared)
    for name in names:
        assert save(shared, name).status == 200
        assert download(shared, name).body == (saves / name).read_bytes()
        assert stat.S_IMODE((saves / name).stat().st_mode) == 0o600
    assert sorted(names) == sorted(path.name for path in saves.iterdir()) == sorted(listed(shared))
    assert stat.S_IMODE(saves.stat().st_mode) == stat.S_IMODE(saves.parent.stat().st_mode) == 0o700


def strew(saves: Path, outside: Path) -> list[str]:
    """Put into the save directory what no save is, and return the names."""
    links = {
        "file": outside / "secret.json",
        "dangling": outside / "new.json",
        "directory": outside,
        "itself": saves / "itself.json",
        "endless": Path("/dev/zero"),
        "environment": Path("/proc/self/environ"),
        "relative": Path("../../../outside/secret.json"),
        "database": Path("../chronoprof.db"),
    }
    for name, target in links.items():
        (saves / f"{name}.json").symlink_to(target)
    (saves / "folder.json").mkdir()
    (saves / ".save-0123456789abcdef.tmp").mkdir()
    os.mkfifo(saves / "fifo.json")
    with socket.socket(socket.AF_UNIX) as bound:
        place = os.open(saves, os.O_RDONLY)
        bound.bind(f"/proc/self/fd/{place}/socket.json")  # the path itself is too long for a socket
        os.close(place)
    return [*(f"{name}.json" for name in links), "folder.json", "fifo.json", "socket.json"]


def refuses(sidecar: Sidecar, name: str) -> bool:
    """Say whether a name that something else has is neither read nor written."""
    written = [save(sidecar, name).status, save(sidecar, name, "rotate").status]
    return [*written, download(sidecar, name).status] == [400, 400, 404]


def test_what_is_no_save(sidecar: Sidecar, saves: Path, tmp_path: Path, proof: Proof) -> None:
    """Links, directories, FIFOs and sockets that lie in the save directory are not listed, not read, not written
    through, not waited for, and do not stop the next start."""
    names = strew(saves, tmp_path / "outside")
    before = tree(tmp_path)
    accepted = [name for name in names if not refuses(sidecar, name)]
    proof.reached("kinds", len(names))
    proof.reached("accepted", len(accepted), goal=0)
    assert accepted == []
    assert listed(sidecar) == []
    assert before == tree(tmp_path)
    strewn = tree(saves)
    assert sidecar.stop() == 0
    sidecar.start()
    assert strewn == tree(saves)
    assert listed(sidecar) == []


@pytest.mark.system
def test_devices(sidecar: Sidecar, saves: Path) -> None:
    """A device that lies in the save directory is not read, however much it has to say, and not written."""
    for name, minor in (("null.json", 3), ("zero.json", 5), ("full.json", 7), ("random.json", 9)):
        os.mknod(saves / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        assert refuses(sidecar, name)
    assert listed(sidecar) == []


def test_hard_links(shared: Sidecar) -> None:
    """A save replaces the name and never writes into the file that had it: another name of it keeps its bytes."""
    outside, linked = shared.directory.with_name("outside"), saves_of(shared) / "hard.json"
    os.link(outside / "secret.json", linked)
    before = tree(outside)
    assert save(shared, linked.name, "rotate").status == 409
    assert save(shared, linked.name).status == 200
    assert before == tree(outside)
    assert linked.stat().st_nlink == 1
    assert SECRET not in download(shared, linked.name).body
    linked.unlink()


def test_a_replaced_directory(sidecar: Sidecar, saves: Path, tmp_path: Path) -> None:
    """A link that takes the place of the save directory leads a running sidecar nowhere, and the next start refuses."""
    assert save(sidecar, "a.json").status == 200
    before = tree(tmp_path / "outside")
    moved = saves.rename(tmp_path / "moved")
    saves.symlink_to(tmp_path / "outside")
    assert [save(sidecar, "b.json").status, save(sidecar, "c.json", "rotate").status] == [200, 200]
    assert [download(sidecar, name).status for name in ("a.json", "b.json", "secret.json")] == [200, 200, 404]
    assert sorted(listed(sidecar)) == sorted(path.name for path in moved.iterdir()) == ["a.json", "b.json", "c.json"]
    assert sidecar.stop() == 0
    sidecar.start(wait=False)
    assert sidecar.process.wait(30) != 0
    assert f"{saves}: Not a directory; CHRONOPROF_SAVE_DIR" in sidecar.log()
    assert before == tree(tmp_path / "outside")


def test_a_temporary_file_is_never_somebody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a file in the making is random; even foreseen, what lies there is neither followed nor removed."""
    directory = SaveDirectory(tmp_path / "saves", SaveLimits(10, 2**30, 0))
    made = {directory.write_temporary([b""]) for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"\.save-[0-9a-f]{16}\.tmp", name) for name in made)
    foreseen = tmp_path / "saves" / ".save-0123456789abcdef.tmp"
    foreseen.symlink_to(tmp_path / "new")
    monkeypatch.setattr(files, "token_hex", lambda _: "0123456789abcdef")
    with pytest.raises(UnavailableError, match="exists"):
        directory.write("a.json", [b"content"])
    assert foreseen.is_symlink()
    assert not (tmp_path / "new").exists()
    directory.close()


class Swapper(multiprocessing.context.SpawnProcess):
    """Somebody who can write to the save directory, and swaps what lies there for links to outside, again and again."""

    def __init__(self, saves: Path, outside: Path, swaps: int) -> None:
        super().__init__(daemon=True)
        self._saves = saves
        self._outside = outside
        self._swaps = swaps

    def run(self) -> None:
        """Swap names most of the time, files in the making and the directory itself now and then."""
        for number in range(self._swaps):
            if number % 10 == 9:
                self._swap_temporaries()
            elif number % 10 == 4:
                self._swap_directory()
            else:
                self._swap_name(number)

    def _swap_name(self, number: int) -> None:
        name = self._saves / ("race.json", "race.csv")[number % 2]
        if number % 3 == 2:
            name.unlink(missing_ok=True)
            return
        self._link(name, self._outside / ("secret.json", "new.json")[number % 3])

    def _swap_temporaries(self) -> None:
        for path in self._saves.glob(".save-*"):
            self._link(path, self._outside / "secret.json")

    def _swap_directory(self) -> None:
        away = self._saves.with_name("away")
        self._saves.rename(away)
        self._saves.symlink_to(self._outside)
        self._saves.unlink()
        away.rename(self._saves)

    def _link(self, name: Path, target: Path) -> None:
        link = self._saves.with_name("link")
        link.symlink_to(target)
        link.replace(name)


@pytest.mark.timeout(scaled(120, full=600))
def test_racing_links(sidecar_in_memory: Sidecar, proof: Proof) -> None:
    """While somebody swaps names, files in the making and the directory for links to outside, saving, rotating and
    downloading neither write nor read there, and nothing fails that should not."""
    sidecar, outside = sidecar_in_memory, sidecar_in_memory.directory.with_name("outside")
    before = tree(outside)
    swaps = scaled(2_000, full=100_000)
    swapper = Swapper(saves_of(sidecar), outside, swaps)
    answers: Counter[tuple[str, int]] = Counter()
    reads = 0
    swapper.start()
    for number in count():
        replies = {
            "save": save(sidecar, ("race.json", "race.csv")[number % 2]),
            "rotate": save(sidecar, f"rotated-{number}.json", "rotate"),
            "download": download(sidecar, ("race.json", "race.csv")[number % 2]),
            "list": ask(sidecar, "GET", f"{API}/saves", ADMIN),
        }
        answers.update((step, reply.status) for step, reply in replies.items())
        reads += sum(SECRET in reply.body or b"secret.json" in reply.body for reply in replies.values())
        if not swapper.is_alive():
            break
    swapper.join()
    writes = int(before != tree(outside))
    steps = ", ".join(f"{step} {status}: {times}" for (step, status), times in sorted(answers.items()))
    proof.reached("swaps", swaps)
    proof.reached("answers", steps)
    proof.reached("outside writes", writes, goal=0)
    proof.reached("outside reads", reads, goal=0)
    assert (swapper.exitcode, writes, reads) == (0, 0, 0)
    assert set(answers) <= {
        *(("save", status) for status in (200, 400, 503)),
        ("rotate", 200),
        *(("download", status) for status in (200, 404)),
        ("list", 200),
    }
    assert answers["save", 200] > 0
