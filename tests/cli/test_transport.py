"""Requests over http, https and unix sockets, and what is said when one fails."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import KEY, Run, StandIn

DATA = "GET /api/v1/profiling/data"
EMPTY = b'{"data": {}, "meta": {}}'


def test_a_unix_socket_is_a_sidecar_too(ask: Run, unix_sidecar: StandIn) -> None:
    """`unix:///path` reaches a sidecar that no network does."""
    unix_sidecar.answer(DATA, EMPTY)

    assert ask("data", "--url", unix_sidecar.url).code == 0
    assert unix_sidecar.received[0].headers["X-API-Key"] == KEY


def test_a_path_in_the_url_comes_before_every_route(ask: Run, sidecar: StandIn) -> None:
    """A sidecar may live behind a reverse proxy under a path of its own."""
    sidecar.answer("GET /chronoprof/api/v1/profiling/data", EMPTY)

    assert ask("data", "--url", f"{sidecar.url}/chronoprof/").code == 0


@pytest.mark.parametrize("trusted", [True, False])
def test_https_needs_a_trusted_certificate(
    ask: Run,
    make_tls_sidecar: Callable[[ssl.SSLContext], StandIn],
    monkeypatch: pytest.MonkeyPatch,
    *,
    trusted: bool,
) -> None:
    """Certificates are checked before the key is sent."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (authority if trusted else trustme.CA()).cert_pem.write_to_path("trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "trusted.pem")
    secure = make_tls_sidecar(context)
    secure.answer(DATA, EMPTY)

    ran = ask("data", "--url", secure.url)

    assert ran.code == (0 if trusted else 1)
    assert [request.headers["X-API-Key"] for request in secure.received] == ([KEY] if trusted else [])
    assert ("certificate" in ran.err.lower()) is not trusted


def test_a_proxy_of_the_environment_is_not_used(ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes to the sidecar and to nobody in between."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    sidecar.answer(DATA, EMPTY)

    assert ask("data").code == 0


def test_a_redirect_is_not_followed(ask: Run, sidecar: StandIn) -> None:
    """A redirect could lead the key anywhere."""
    sidecar.answer(DATA, status=307, Location=f"{sidecar.url}/elsewhere")

    ran = ask("data")

    assert (ran.code, ran.err) == (1, "chronoprof: 307 Temporary Redirect\n")
    assert len(sidecar.received) == 1


def test_a_key_of_any_printable_characters_can_be_sent(
    ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key travels as its UTF-8 bytes, which is what the sidecar compares."""
    monkeypatch.setenv("CHRONOPROF_API_KEY", "schlüssel→0123456789")
    sidecar.answer(DATA, EMPTY)

    assert ask("data").code == 0
    assert sidecar.received[0].headers["X-API-Key"].encode("latin-1").decode() == "schlüssel→0123456789"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "unix:///nowhere/sidecar.sock", "http://no-such-host.invalid"])
def test_nobody_there_is_one_line(ask: Run, url: str) -> None:
    """A sidecar that is not running gives a reason and a hint, and exit code 1."""
    ran = ask("data", "--url", url)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"chronoprof: no answer from {url}: ")
    assert ran.err.endswith("(--url or CHRONOPROF_URL says where to ask)\n")
    assert ran.err.count("\n") == 1


def test_a_refusal_is_told_in_the_words_of_the_sidecar(ask: Run, sidecar: StandIn) -> None:
    """Code and message are shown, harmless, and with a refused key where it came from."""
    error = b'{"error": {"code": "unauthorized", "message": "nobody issued \\u001b[2J\\nthis"}}'
    sidecar.answer(DATA, error, status=401)

    ran = ask("data")

    expected = r"401 unauthorized: nobody issued \x1b[2J\nthis (the key came from CHRONOPROF_API_KEY)"
    assert (ran.code, ran.err) == (1, f"chronoprof: {expected}\n")
    assert KEY not in ran.err


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "x"}', b"\xff"])
def test_a_refusal_of_somebody_else_is_told_by_its_status(ask: Run, sidecar: StandIn, body: bytes) -> None:
    """A proxy in between does not answer in the sidecar's form."""
    sidecar.answer(DATA, body, status=502)

    assert ask("data").err == "chronoprof: 502 Bad Gateway\n"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": []}', b'{"data": {"a": 1}}', b"\xff", b""])
def test_an_answer_of_somebody_else_is_no_table(ask: Run, sidecar: StandIn, body: bytes) -> None:
    """200 with anything but a report fails, with a hint at the URL."""
    sidecar.answer(DATA, body)

    ran = ask("data")

    assert (ran.code, ran.out) == (1, "")
    assert "does CHRONOPROF_URL name the right server?" in ran.err


def test_an_answer_that_breaks_off_fails(ask: Run, sidecar: StandIn) -> None:
    """Half an answer is none, `--json` included."""
    sidecar.answer(DATA, EMPTY[:10], Transfer_Encoding="chunked")

    ran = ask("data", "--json")

    assert (ran.code, ran.out) == (1, "")


def test_a_key_file_that_changes_is_read_anew(ask: Run, sidecar: StandIn) -> None:
    """A rotated key is taken from its file at the next command."""
    sidecar.answer(DATA, EMPTY)
    for key in ("first-key-0123456789", "second-key-0123456789"):
        Path("key").write_text(key)
        ask("data", "--key-file", "key")

    assert [each.headers["X-API-Key"] for each in sidecar.received] == ["first-key-0123456789", "second-key-0123456789"]
