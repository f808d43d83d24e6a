"""Which sidecar a command asks, and with which key."""

from pathlib import Path

import pytest

from tests.cli.conftest import KEY, Run, StandIn

DATA = "GET /api/v1/profiling/data"
EMPTY = b'{"data": {}, "meta": {}}'


@pytest.fixture(autouse=True)
def _answer(sidecar: StandIn) -> None:
    sidecar.answer(DATA, EMPTY)


def test_the_environment_names_url_and_key(ask: Run, sidecar: StandIn) -> None:
    """With CHRONOPROF_URL and CHRONOPROF_API_KEY set, no flag is needed."""
    assert ask("data").code == 0
    assert [request.headers["X-API-Key"] for request in sidecar.received] == [KEY]


def test_flags_win_over_the_environment(ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--url` and `--key-file` decide; a key file may end in a new line and hold more keys below the first."""
    monkeypatch.setenv("CHRONOPROF_URL", "http://127.0.0.1:1")
    Path("key").write_text("\nkey from the file\nan older key\n")

    assert ask("data", "--url", sidecar.url, "--key-file", "key").code == 0
    assert sidecar.received[0].headers["X-API-Key"] == "key from the file"


def test_a_key_file_may_be_named_in_the_environment(
    ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHRONOPROF_API_KEY_FILE serves where the key itself shall not stand in the environment."""
    monkeypatch.delenv("CHRONOPROF_API_KEY")
    monkeypatch.setenv("CHRONOPROF_API_KEY_FILE", "key")
    Path("key").write_text("key-from-the-file")

    assert ask("data").code == 0
    assert sidecar.received[0].headers["X-API-Key"] == "key-from-the-file"


def test_the_env_file_of_the_directory_is_used(run: Run, sidecar: StandIn) -> None:
    """In the directory where `keys --write .env` ran, commands just work."""
    Path(".env").write_text(f"CHRONOPROF_PORT=1\nCHRONOPROF_URL={sidecar.url}\nCHRONOPROF_API_KEY=key-from-env-file\n")

    assert run("data").code == 0
    assert sidecar.received[0].headers["X-API-Key"] == "key-from-env-file"


def test_the_environment_wins_over_the_env_file(ask: Run, sidecar: StandIn) -> None:
    """Whoever exports a key for this shell means it, whatever lies in the directory."""
    Path(".env").write_text("CHRONOPROF_URL=http://127.0.0.1:1\nCHRONOPROF_API_KEY=key-from-env-file\n")

    assert ask("data").code == 0
    assert sidecar.received[0].headers["X-API-Key"] == KEY


def test_the_env_file_cannot_send_the_key_of_the_environment_elsewhere(
    ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` that came with somebody's archive does not choose who gets to see the user's own key."""
    monkeypatch.delenv("CHRONOPROF_URL")
    Path(".env").write_text(f"CHRONOPROF_URL={sidecar.url}\n")

    ask("data", "--json")

    assert sidecar.received == []


def test_without_a_key_nothing_is_sent(run: Run, sidecar: StandIn) -> None:
    """The message says how to get a key, and the exit code is that of wrong usage."""
    ran = run("data", "--url", sidecar.url)

    assert (ran.code, ran.out) == (2, "")
    assert "`chronoprof keys --write .env`" in ran.err
    assert sidecar.received == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"\n \n", "is empty"), (b"\xff\xfe", "not UTF-8"), (b"a\x1bkey", "no key has")],
)
def test_a_bad_key_file_is_named(ask: Run, sidecar: StandIn, content: bytes | None, message: str) -> None:
    """A key file that holds no key is wrong usage; nothing is sent, and its content is not shown."""
    if content is not None:
        Path("key").write_bytes(content)

    ran = ask("data", "--key-file", "key")

    assert ran.code == 2
    assert message in ran.err
    assert "\x1b" not in ran.err
    assert sidecar.received == []


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://host:port",
        "http://[::1",
        "http://host/?key=1",
        "http://host/#x",
        "unix://",
        "unix://relative/path",
        "unix:///",
    ],
)
def test_a_bad_url_is_named(ask: Run, url: str) -> None:
    """What is no http, https or unix URL is wrong usage."""
    ran = ask("data", "--url", url)

    assert ran.code == 2
    assert ran.err.startswith(f"chronoprof: CHRONOPROF_URL is {url!r}: ")


def test_a_password_in_a_url_is_refused_unseen(ask: Run) -> None:
    """A secret in a URL would show in `ps` and in messages."""
    ran = ask("data", "--url", "http://user:secret@host:bad")

    assert ran.code == 2
    assert "secret" not in ran.err


def test_there_is_no_flag_for_a_key(run: Run) -> None:
    """Flags show in `ps`."""
    assert run("data", "--key", KEY).code == 2
