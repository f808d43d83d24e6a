import csv
import io

import pytest

from tests.server.harness import API, Client, ingest
from tests.server.schemas import check_schema


async def test_save_answers_as_the_specification_says(client: Client) -> None:
    """A save says the message of the specification, and the file holds the same data as the window."""
    await ingest(client, {"GET /recall": [0.25, 0.5]})
    answer = await client.post(f"{API}/save?file_path=profiling_data.json")
    report = await answer.json()
    assert answer.status == 200
    check_schema("Saved", report)
    assert report["message"] == "Profiling data saved to profiling_data.json"
    saved = await client.get(f"{API}/saves/profiling_data.json")
    assert saved.content_type == "application/json"
    assert int(saved.headers["Content-Length"]) == report["file"]["size_bytes"]
    window = await (await client.get(f"{API}/data")).json()
    assert (await saved.json())["data"] == window["data"]


async def test_save_makes_a_name_where_none_is_given(client: Client) -> None:
    """Without a name the answer tells the one that was made, and the list has it."""
    report = await (await client.post(f"{API}/save")).json()
    listed = await (await client.get(f"{API}/saves")).json()
    check_schema("Saves", listed)
    assert listed["saves"] == [report["file"]]
    assert report["message"] == f"Profiling data saved to {report['file']['name']}"


async def test_save_keeps_what_may_not_be_replaced(client: Client) -> None:
    """A save replaces an older one of its name unless told not to, and says 409 then."""
    assert (await client.post(f"{API}/save?file_path=a.json")).status == 200
    assert (await client.post(f"{API}/save?file_path=a.json")).status == 200
    answer = await client.post(f"{API}/save?file_path=a.json&overwrite=false")
    assert answer.status == 409
    assert (await answer.json())["error"]["code"] == "file_exists"


async def test_csv_is_an_export(client: Client) -> None:
    """A save that ends in .csv downloads as a table with a row per function."""
    await ingest(client, {"a": [0.5], "b": [0.25]})
    await client.post(f"{API}/save?file_path=table.csv")
    answer = await client.get(f"{API}/saves/table.csv")
    assert answer.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert {"a", "b"} == {row["function_name"] for row in rows}


@pytest.mark.parametrize(
    "name",
    ["../a.json", "/etc/a.json", "a/b.json", ".a.json", "a.txt", "a", "a.json%00", "a%0A.json", "ä.json", "-.json"],
)
async def test_save_takes_plain_names_only(client: Client, name: str) -> None:
    """A name that could lead out of the save directory, or confuse a shell, is refused by every route."""
    for answer in (
        await client.post(f"{API}/save?file_path={name}"),
        await client.post(f"{API}/rotate?file_path={name}"),
    ):
        assert answer.status == 400
        assert "file_path" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("name", "status"), [("none.json", 404), ("..%2Fdata%2Fchronoprof.db", 400), ("chronoprof.db", 400), ("", 404)]
)
async def test_only_saves_are_downloaded(client: Client, name: str, status: int) -> None:
    """What is no save is not to be had, whatever its name."""
    answer = await client.get(f"{API}/saves/{name}")
    assert answer.status == status


async def test_download_has_a_head(client: Client) -> None:
    """A HEAD request for a save tells its size and type and sends none of it; the id of the request is there, too."""
    await client.post(f"{API}/save?file_path=a.json")
    for method in ("HEAD", "GET"):
        answer = await client.request(method, f"{API}/saves/a.json", headers={"X-Request-ID": "the-id"})
        body = await answer.read()
        assert answer.status == 200
        assert answer.headers["X-Request-ID"] == "the-id"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.json"'
        assert len(body) == (int(answer.headers["Content-Length"]) if method == "GET" else 0)


async def test_rotate_saves_and_resets(client: Client) -> None:
    """A rotate answers with both generations; the file has the old window, and the new one is empty."""
    await ingest(client, {"a": [1.0]})
    answer = await client.post(f"{API}/rotate?file_path=monday.json")
    report = await answer.json()
    assert answer.status == 200
    check_schema("Rotated", report)
    assert report["message"] == "Profiling data saved to monday.json"
    assert report["generation"] == report["saved_generation"] + 1
    assert list((await (await client.get(f"{API}/saves/monday.json")).json())["data"]) == ["a"]
    assert (await (await client.get(f"{API}/data")).json())["data"] == {}


async def test_a_repeated_rotate_destroys_nothing(client: Client) -> None:
    """A rotate to a name that exists, or of a generation that is gone, is a 409 and changes nothing."""
    await ingest(client, {"a": [1.0]})
    report = await (await client.post(f"{API}/rotate?file_path=monday.json")).json()
    for query in ("file_path=monday.json", f"file_path=b.json&generation={report['saved_generation']}"):
        answer = await client.post(f"{API}/rotate?{query}")
        assert answer.status == 409
    assert (await (await client.get(f"{API}/data")).json())["meta"]["generation"] == report["generation"]
    assert [save["name"] for save in (await (await client.get(f"{API}/saves")).json())["saves"]] == ["monday.json"]
