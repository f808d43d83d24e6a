"""Settings: one table, four sources, and messages that name what is wrong without showing a key."""

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.settings import SPECS, Settings, environment_warnings, load_settings

ANNOTATED_FILE = Path(__file__).parents[1] / "config" / "chronoprof.env"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a directory without a `.env`."""
    monkeypatch.chdir(tmp_path)


def test_defaults_when_nothing_is_given() -> None:
    """Without any source the defaults of the table stand."""
    settings = load_settings({})

    assert settings == Settings()
    assert (settings.host, settings.port, settings.durability) == ("127.0.0.1", 8000, "full")
    assert (settings.max_body_bytes, settings.max_inflated_bytes) == (2**20, 2**23)
    assert (settings.max_saves_bytes, settings.drain_timeout_seconds) == (10 * 2**30, 3.0)


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """Of several sources the one nearest to the person who starts the sidecar decides."""
    (tmp_path / ".env").write_text("CHRONOPROF_PORT=1\nCHRONOPROF_HOST=file\nCHRONOPROF_MAX_SAVES=7\n")
    environ = {"CHRONOPROF_PORT": "2", "CHRONOPROF_HOST": "environment"}

    settings = load_settings(environ, {"port": "3"})

    assert (settings.port, settings.host, settings.max_saves) == (3, "environment", 7)
    assert settings.max_functions == 10_000


def test_only_the_working_directory_is_searched_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` in a directory above is somebody else's."""
    (tmp_path / ".env").write_text("CHRONOPROF_PORT=1\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    assert load_settings({}).port == 8000


def test_a_named_file_replaces_the_one_in_the_working_directory(tmp_path: Path) -> None:
    """An explicit path is the only file that is read."""
    (tmp_path / ".env").write_text("CHRONOPROF_PORT=1\nCHRONOPROF_HOST=wrong\n")
    other = tmp_path / "other.env"
    other.write_text("CHRONOPROF_PORT=2\n")

    settings = load_settings({}, env_file=other)

    assert (settings.port, settings.host) == (2, "127.0.0.1")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A path that somebody typed is not skipped when it is wrong."""
    with pytest.raises(SettingsError, match=r"missing\.env: No such file"):
        load_settings({}, env_file=tmp_path / "missing.env")


def test_an_empty_text_counts_as_not_given(tmp_path: Path) -> None:
    """Compose hands on `${NAME:-}` as an empty text, which must not hide what the file says."""
    (tmp_path / ".env").write_text("CHRONOPROF_PORT=1\n")

    assert load_settings({"CHRONOPROF_PORT": "", "CHRONOPROF_DATA_DIR": ""}).port == 1


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("HOST", "a\tb"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "8_000"),
        ("PORT", "٨٠"),
        ("ALLOWED_HOSTS", "a,,b"),
        ("DATA_DIR", "a\0b"),
        ("DURABILITY", "Full"),
        ("MAX_FUNCTIONS", "0"),
        ("MAX_FUNCTIONS", "1e4"),
        ("MAX_FUNCTIONS", "9007199254740993"),
        ("MAX_FUNCTIONS", "9" * 5000),
        ("MAX_BODY_BYTES", "1 MB"),
        ("MAX_BODY_BYTES", "1.5 MiB"),
        ("MAX_BODY_BYTES", "1023"),
        ("KEEP_SAVES", "-1"),
        ("BODY_TIMEOUT", "0"),
        ("BODY_TIMEOUT", "nan"),
        ("BODY_TIMEOUT", "inf"),
        ("BODY_TIMEOUT", "1e3"),
        ("BODY_TIMEOUT", "3601"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_refused_with_its_name(name: str, bad: str) -> None:
    """The message names setting, source and value, the last cut to a readable length."""
    with pytest.raises(SettingsError) as caught:
        load_settings({f"CHRONOPROF_{name}": bad})

    expected = f"CHRONOPROF_{name} in the environment is {bad[:80]!r}: expected "
    assert expected == str(caught.value)[: len(expected)]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MAX_BODY_BYTES", "2048", "max_body_bytes", 2048),
        ("MAX_BODY_BYTES", "512KiB", "max_body_bytes", 512 * 2**10),
        ("MIN_FREE_BYTES", "0", "min_free_bytes", 0),
        ("MAX_SAVES_BYTES", "2 TiB", "max_saves_bytes", 2**41),
        ("BODY_TIMEOUT", "0.25", "body_timeout_seconds", 0.25),
        ("ALLOWED_HOSTS", " a , b.example:8000 ", "allowed_hosts", ("a", "b.example:8000")),
        ("LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("UNIX_SOCKET", "/run/c.sock", "unix_socket", Path("/run/c.sock")),
        ("SAVE_DIR", "/srv/saves", "save_dir", Path("/srv/saves")),
    ],
)
def test_a_good_value_is_parsed(name: str, text: str, field: str, value: object) -> None:
    """Each kind of text becomes the value that it says."""
    assert value == getattr(load_settings({f"CHRONOPROF_{name}": text}), field)


def test_the_home_directory_must_be_known() -> None:
    """A path that starts with a user nobody knows is a bad value, not a crash."""
    with pytest.raises(SettingsError, match=r"CHRONOPROF_DATA_DIR .* expected a path"):
        load_settings({"CHRONOPROF_DATA_DIR": "~no-such-user-here/data"})


def test_paths_are_absolute_and_saves_lie_under_the_data_directory(tmp_path: Path) -> None:
    """A later change of directory moves nothing, and replacing one path twice resolves the other once."""
    settings = load_settings({"CHRONOPROF_DATA_DIR": "here"})

    assert (settings.data_dir, settings.save_dir) == (tmp_path / "here", tmp_path / "here" / "saves")
    assert replace(settings, port=1).save_dir == settings.save_dir


def test_no_key_is_shown_by_repr_or_message() -> None:
    """Neither the repr nor the message about a bad list of keys holds any part of a key."""
    secret = "secret-key-of-somebody"

    assert secret not in repr(Settings(admin_keys=(secret,), read_keys=(secret,), ingest_keys=(secret,)))
    with pytest.raises(SettingsError) as caught:
        load_settings({"CHRONOPROF_READ_KEYS": f"{secret},,"})
    assert str(caught.value) == "CHRONOPROF_READ_KEYS in the environment: expected items separated by single commas"


def test_an_unknown_name_in_the_file_is_refused_without_its_value(tmp_path: Path) -> None:
    """A misspelled name would silently leave a default standing; its value may be a key."""
    (tmp_path / ".env").write_text("CHRONOPROF_ADMIN_KEY=secret-key-of-somebody\n")

    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert str(caught.value) == "CHRONOPROF_ADMIN_KEY in .env is no setting; did you mean CHRONOPROF_ADMIN_KEYS?"


@pytest.mark.parametrize("line", ["CHRONOPROF_PORT 8001", "CHRONOPROF_PORT", "CHRONOPROF_HOST='127.0.0.1"])
def test_an_unreadable_line_in_the_file_is_refused(tmp_path: Path, line: str) -> None:
    """A line that is no setting is not skipped."""
    (tmp_path / ".env").write_text(f"# settings\n{line}\n")

    with pytest.raises(SettingsError, match=r"line 2 of \.env is not NAME=VALUE"):
        load_settings({})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A binary file gives a message, not a traceback."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings({})


def test_dollar_signs_in_the_file_are_left_alone(tmp_path: Path) -> None:
    """A key may hold a `$`: nothing is expanded."""
    (tmp_path / ".env").write_text("CHRONOPROF_READ_KEYS=key-with-$HOME-inside\n")

    assert load_settings({}).read_keys == ("key-with-$HOME-inside",)


def test_names_of_the_client_are_known_in_the_file(tmp_path: Path) -> None:
    """One file may serve the sidecar and the commands."""
    (tmp_path / ".env").write_text("CHRONOPROF_API_KEY=x\nCHRONOPROF_URL=http://a\nENABLE_PROFILING=1\nPATH=/x\n")

    assert load_settings({}) == Settings()


def test_unknown_names_in_the_environment_only_warn() -> None:
    """Whoever runs a container does not rule over all of its environment; Kubernetes adds names of its own."""
    environ = {
        "CHRONOPROF_PORT": "tcp://10.0.0.1:8000",
        "CHRONOPROF_SERVICE_HOST": "10.0.0.1",
        "CHRONOPROF_READ_KEY": "secret-key-of-somebody",
        "CHRONOPROF_URL": "http://127.0.0.1:8000",
        "CHRONOPROF_HOST": "::1",
        "HOME": "/nowhere",
    }

    assert load_settings(environ) == Settings(host="::1")
    assert list(environment_warnings(environ)) == [
        "CHRONOPROF_PORT looks like a Kubernetes service address and is ignored",
        "CHRONOPROF_READ_KEY in the environment is no setting and is ignored; did you mean CHRONOPROF_READ_KEYS?",
        "CHRONOPROF_SERVICE_HOST in the environment is no setting and is ignored",
    ]


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TLS_CERT_FILE": "cert.pem"}, "need each other"),
        ({"TLS_KEY_FILE": "key.pem"}, "need each other"),
        ({"MAX_BODY_BYTES": "16 MiB"}, "must not decrease"),
        ({"MAX_QUEUE_BYTES": "4 MiB"}, "must not decrease"),
    ],
)
def test_values_that_do_not_go_together_are_refused(environ: dict[str, str], message: str) -> None:
    """Half a certificate, or a body that could never enter the queue, stops the start."""
    with pytest.raises(SettingsError, match=message):
        load_settings({f"CHRONOPROF_{name}": text for name, text in environ.items()})


def test_the_store_may_be_named_in_a_file(tmp_path: Path) -> None:
    """A file in place of the URL keeps its password out of the environment."""
    (tmp_path / "store").write_text("postgresql://me:hush-hush@db/chronoprof\n")

    settings = load_settings({"CHRONOPROF_STORE_FILE": "store"})

    assert settings.store == "postgresql://me:hush-hush@db/chronoprof"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "environ", "message"),
    [
        (b"hush-hush", {}, "store (CHRONOPROF_STORE_FILE): expected embedded, or the URL of a database"),
        (b"", {}, "store (CHRONOPROF_STORE_FILE): expected embedded, or the URL of a database"),
        (b"\xff", {}, "cannot read store (CHRONOPROF_STORE_FILE): it is not UTF-8 text"),
        (None, {}, "cannot read store (CHRONOPROF_STORE_FILE): No such file or directory"),
        (
            b"embedded",
            {"CHRONOPROF_STORE": "embedded"},
            "CHRONOPROF_STORE and CHRONOPROF_STORE_FILE exclude each other",
        ),
    ],
)
def test_a_file_that_names_no_store_is_refused(
    tmp_path: Path, content: bytes | None, environ: dict[str, str], message: str
) -> None:
    """The message names the file and the setting, and shows nothing of what is in it."""
    if content is not None:
        (tmp_path / "store").write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load_settings({"CHRONOPROF_STORE_FILE": "store", **environ})
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)


def test_every_field_is_in_the_table_once() -> None:
    """Fields, names and flags are one to one, and every default is what its own parser makes of its text."""
    assert [each.name for each in fields(Settings)] == [spec.field for spec in SPECS]
    assert len(SPECS) == len({spec.name for spec in SPECS}) == len({spec.flag for spec in SPECS})
    assert {spec.field: spec.parse(spec.default) for spec in SPECS} == {
        each.name: each.default for each in fields(Settings)
    }


def test_the_annotated_file_lists_every_setting_with_unit_and_default() -> None:
    """`config/chronoprof.env` says what the table says, word for word and in its order."""
    expected = [
        f"# {spec.description}\n# ({spec.unit}; default: {spec.default or 'none'})\n# {spec.name}={spec.default}"
        for spec in SPECS
    ]

    blocks = ANNOTATED_FILE.read_text(encoding="utf-8").strip().split("\n\n")

    assert expected == [block for block in blocks if re.search(r"^# CHRONOPROF_\w+=", block, re.MULTILINE)]


def test_the_annotated_file_changes_nothing_until_edited(tmp_path: Path) -> None:
    """As shipped, and with every line switched on, it gives the defaults."""
    switched_on = re.sub(r"^# (CHRONOPROF_\w+=)", r"\1", ANNOTATED_FILE.read_text(), flags=re.MULTILINE)
    (tmp_path / "all.env").write_text(switched_on)

    assert load_settings({}, env_file=ANNOTATED_FILE) == Settings()
    assert switched_on.count("\nCHRONOPROF_") == len(SPECS)
    assert load_settings({}, env_file=tmp_path / "all.env") == Settings()


def test_importing_and_reading_plain_lines_needs_no_third_party_package(tmp_path: Path) -> None:
    """The commands that only talk to a sidecar run on the standard library, their two lines of `.env` included."""
    (tmp_path / ".env").write_text(
        "# made by chronoprof\nexport CHRONOPROF_URL='http://a'\nCHRONOPROF_API_KEY=k=1\n??\n"
    )
    script = (
        "import sys; sys.modules['dotenv'] = None\n"
        "from pathlib import Path\n"
        "import chronoprof_sidecar.auth, chronoprof_sidecar.settings\n"
        "from chronoprof_sidecar.env_file import read_env_file\n"
        "print(read_env_file(Path('.env')))\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'aiohttp', 'msgspec', 'orjson'}])\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert ran.stdout == "{'CHRONOPROF_URL': 'http://a', 'CHRONOPROF_API_KEY': 'k=1'}\n[]\n"
