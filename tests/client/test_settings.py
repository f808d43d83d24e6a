from pathlib import Path

import pytest

from chronoprof_sidecar.client.settings import ClientSettings, Endpoint, Overrides, read_settings
from chronoprof_sidecar.errors import SettingsError


def read(environ: dict[str, str], **overrides: object) -> ClientSettings:
    return read_settings({"CHRONOPROF_API_KEY": "secret-key-of-the-app"} | environ, Overrides(**overrides))  # type: ignore[typeddict-item]


def test_defaults() -> None:
    """What is not set has the documented default."""
    settings = read({})

    assert "http://127.0.0.1:8000" == str(settings.endpoint)
    assert ("", "", 1.0, 1, ()) == (
        settings.service,
        settings.version,
        settings.flush_interval_seconds,
        settings.sample_every,
        settings.exclude,
    )


def test_everything_from_the_environment() -> None:
    """Every variable lands in its setting."""
    settings = read(
        {
            "CHRONOPROF_URL": "https://sidecar.example:8443/base/",
            "CHRONOPROF_SERVICE": "shop",
            "CHRONOPROF_VERSION": "2026.11",
            "CHRONOPROF_FLUSH_INTERVAL": "2.5",
            "CHRONOPROF_SAMPLE_EVERY": "10",
            "CHRONOPROF_EXCLUDE": "GET /health*, shop.cache.* ,",
        }
    )

    assert Endpoint("sidecar.example", 8443, True, None, "/base") == settings.endpoint
    assert ("shop", "2026.11", 2.5, 10, ("GET /health*", "shop.cache.*")) == (
        settings.service,
        settings.version,
        settings.flush_interval_seconds,
        settings.sample_every,
        settings.exclude,
    )


def test_arguments_win_over_the_environment() -> None:
    """An argument wins over the variable of the same setting."""
    settings = read({"CHRONOPROF_SERVICE": "env", "CHRONOPROF_SAMPLE_EVERY": "3"}, service="arg", sample_every=5)

    assert ("arg", 5) == (settings.service, settings.sample_every)


def test_service_falls_back_to_opentelemetrys_name() -> None:
    """A service that already has a name for its traces needs no second one."""
    assert "shop" == read({"OTEL_SERVICE_NAME": "shop"}).service
    assert "own" == read({"OTEL_SERVICE_NAME": "shop", "CHRONOPROF_SERVICE": "own"}).service


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://sidecar", "sidecar"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://sidecar:443", "sidecar"),
        ("http://bücher.example:81", "xn--bcher-kva.example:81"),
    ],
)
def test_authority(url: str, authority: str) -> None:
    """The Host header has brackets, ports and international names as HTTP wants them."""
    assert authority == read({"CHRONOPROF_URL": url}).endpoint.authority


def test_unix_socket() -> None:
    """A unix socket is given by its absolute path."""
    assert "/run/chronoprof.sock" == read({"CHRONOPROF_URL": "unix:///run/chronoprof.sock"}).endpoint.socket_path


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("CHRONOPROF_API_KEY", ""),
        ("CHRONOPROF_API_KEY", "line\nbreak"),
        ("CHRONOPROF_API_KEY", "schlüssel"),
        ("CHRONOPROF_API_KEY_FILE", "/does/not/exist"),
        ("CHRONOPROF_URL", "sidecar:8000"),
        ("CHRONOPROF_URL", "ftp://sidecar"),
        ("CHRONOPROF_URL", "http://"),
        ("CHRONOPROF_URL", "http://sidecar:port"),
        ("CHRONOPROF_URL", "http://user:word@sidecar"),
        ("CHRONOPROF_URL", "http://sidecar/?key=x"),
        ("CHRONOPROF_URL", "http://side\ncar"),
        ("CHRONOPROF_URL", "http://sidecar/a b"),
        ("CHRONOPROF_URL", "http://" + "a" * 80),
        ("CHRONOPROF_URL", "unix://host/path"),
        ("CHRONOPROF_FLUSH_INTERVAL", "soon"),
        ("CHRONOPROF_FLUSH_INTERVAL", "0"),
        ("CHRONOPROF_FLUSH_INTERVAL", "nan"),
        ("CHRONOPROF_FLUSH_INTERVAL", "1e9"),
        ("CHRONOPROF_SAMPLE_EVERY", "0"),
        ("CHRONOPROF_SAMPLE_EVERY", "1.5"),
        ("CHRONOPROF_SAMPLE_EVERY", "1000001"),
        ("CHRONOPROF_SAMPLE_EVERY", "²"),
    ],
)
def test_bad_values_are_refused_by_name(setting: str, value: str) -> None:
    """A bad value is refused with the name of its setting, and the key is never part of what is said."""
    with pytest.raises(SettingsError, match=setting) as refusal:
        read({setting: value})

    assert "secret-key-of-the-app" not in str(refusal.value)


@pytest.mark.parametrize("value", [True, 0, 2.0, "2"])
def test_sample_every_as_an_argument_is_a_whole_number(value: object) -> None:
    """A rate given in code is refused unless it is an int within bounds."""
    with pytest.raises(SettingsError, match="SAMPLE_EVERY"):
        read({}, sample_every=value)


def test_key_from_a_file_is_read_again(tmp_path: Path) -> None:
    """A key that was rotated in its file is found there; while the file is gone, the known one stays."""
    file = tmp_path / "key"
    file.write_text("first-key-of-the-app\n")
    settings = read({"CHRONOPROF_API_KEY_FILE": str(file)})
    assert "first-key-of-the-app" == settings.current_key("known")

    file.write_text("second-key-of-the-app\n")
    assert "second-key-of-the-app" == settings.current_key("known")

    file.unlink()
    assert "known" == settings.current_key("known")


def test_empty_key_file_is_refused(tmp_path: Path) -> None:
    """A key file without a key is a bad setting."""
    file = tmp_path / "key"
    file.write_text("\n")

    with pytest.raises(SettingsError, match="holds no key"):
        read({"CHRONOPROF_API_KEY_FILE": str(file)})


def test_key_is_not_in_the_repr() -> None:
    """The settings can be printed without giving the key away."""
    assert "secret-key-of-the-app" not in repr(read({}))
