"""`chronoprof keys`: keys that work, in a file that nobody else reads."""

import json
from pathlib import Path

import pytest

from chronoprof_sidecar.auth import Role, digest_text, load_keyring
from chronoprof_sidecar.env_file import read_env_file
from chronoprof_sidecar.settings import Settings, load_settings
from tests.cli.conftest import Run


def test_what_is_printed_is_a_settings_file(run: Run) -> None:
    """The output can be kept as it is; the digests in its comments stand for the same keys."""
    Path("made.env").write_text(run("keys").out)

    by_key = load_settings({}, env_file=Path("made.env"))
    Path("made.env").write_text(
        "\n".join(line[2:] for line in Path("made.env").read_text().splitlines() if "=sha256:" in line)
    )
    by_digest = load_keyring(load_settings({}, env_file=Path("made.env")))

    keys = [*by_key.admin_keys, *by_key.read_keys, *by_key.ingest_keys]
    assert [Role.ADMIN, Role.READ, Role.INGEST] == [by_digest.role_of(key) for key in keys]


def test_json_has_key_and_digest_per_role(run: Run) -> None:
    """Programs get both forms of each key."""
    made = json.loads(run("keys", "--json").out)

    assert list(made) == ["admin", "read", "ingest"]
    assert {entry["digest"] for entry in made.values()} == {digest_text(entry["key"]) for entry in made.values()}


def test_a_written_file_serves_sidecar_and_commands(run: Run) -> None:
    """The file starts a sidecar, gives the commands the admin key, is private, and its keys are not printed."""
    ran = run("keys", "--write", ".env")

    names = read_env_file(Path(".env"))
    settings = load_settings({})
    assert (ran.code, ran.err) == (0, "")
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    assert load_keyring(settings).role_of(names["CHRONOPROF_API_KEY"]) is Role.ADMIN
    assert [name for name, key in names.items() if key in ran.out] == []


def test_an_existing_file_is_left_alone(run: Run) -> None:
    """Keys in use are not lost to a second call."""
    Path(".env").write_text("CHRONOPROF_PORT=1\n")

    ran = run("keys", "--write", ".env")

    assert ran.code == 1
    assert ran.err == "chronoprof: .env exists and was left alone; --force replaces it, with all that it holds\n"
    assert Path(".env").read_text() == "CHRONOPROF_PORT=1\n"


def test_force_replaces_the_file_and_says_so(run: Run) -> None:
    """What was readable by all is private afterwards, and no temporary file stays."""
    Path(".env").write_text("CHRONOPROF_PORT=1\n")
    Path(".env").chmod(0o644)

    ran = run("keys", "--write", ".env", "--force")

    assert (ran.code, ran.out) == (0, "Replaced .env (mode 0600): a key for each role.\n")
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    assert load_settings({}) == Settings(
        admin_keys=load_settings({}).admin_keys,
        read_keys=load_settings({}).read_keys,
        ingest_keys=load_settings({}).ingest_keys,
    )
    assert [path.name for path in Path().iterdir()] == [".env"]


def test_force_without_a_file_just_writes(run: Run) -> None:
    """Nothing is said to be replaced that was not there."""
    assert json.loads(run("keys", "--write", ".env", "--force", "--json").out) == {"path": ".env", "replaced": False}


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_cannot_be_written_is_one_line(run: Run, force: list[str]) -> None:
    """A directory that does not exist, or one in the file's place, is an error and no traceback."""
    Path("place").mkdir()

    missing = run("keys", "--write", "nowhere/.env", *force)
    occupied = run("keys", "--write", "place", *force)

    assert (missing.code, occupied.code) == (1, 1)
    assert missing.err == "chronoprof: cannot write nowhere/.env: No such file or directory\n"
    assert [path.name for path in Path().iterdir()] == ["place"]
