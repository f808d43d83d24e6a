import pytest

from tests.server.harness import API, Client


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "/data?colour=red", "'colour'"),
        ("GET", "/data?Limit=1", "'Limit'"),
        ("GET", "/data?limit=1&limit=2", "limit"),
        ("GET", "/data?limit=-1", "limit"),
        ("GET", "/data?limit=1.5", "limit"),
        ("GET", "/data?limit=", "limit"),
        ("GET", "/data?limit=%D9%A3", "limit"),
        ("GET", "/data?limit=" + "9" * 5000, "limit"),
        ("GET", "/data?sort=speed", "sort"),
        ("GET", "/data?order=up", "order"),
        ("GET", "/data?function_name=", "function_name"),
        ("GET", "/data?match=" + "*" * 513, "match"),
        ("GET", "/data?since=15", "since"),
        ("GET", "/data?function_name=a&buckets=1", "buckets"),
        ("GET", "/data?match=a&buckets=true", "function_name"),
        ("GET", "/data?since", "since"),
        ("POST", "/reset?generation=first", "generation"),
        ("POST", "/reset?history=1", "history"),
        ("POST", "/reset?function_name=a", "'function_name'"),
        ("POST", "/save?overwrite=no", "overwrite"),
        ("POST", "/save?path=a.json", "'path'"),
        ("POST", "/save?file_path=", "file_path"),
        ("POST", "/rotate?overwrite=true", "'overwrite'"),
        ("POST", "/ingest?async=1", "'async'"),
        ("GET", "/saves?limit=3", "'limit'"),
        ("GET", "/saves/a.json?raw", "'raw'"),
        ("GET", "/senders?service=a", "'service'"),
    ],
)
async def test_what_is_not_understood_is_named(client: Client, method: str, path: str, named: str) -> None:
    """An unknown, repeated or malformed query parameter is a 400 that names it, never ignored."""
    answer = await client.request(method, API + path)
    assert answer.status == 400
    error = (await answer.json())["error"]
    assert error["code"] == "malformed"
    assert named in error["message"]


async def test_a_strange_parameter_name_is_shown_harmlessly(client: Client) -> None:
    """What a message repeats of the request is short and printable ASCII."""
    answer = await client.get(f"{API}/data", params={"\x1b[31m\n" + "ü" * 500: "1"})
    message = (await answer.json())["error"]["message"]
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1000
