from xml.etree import ElementTree

import pytest

from tests.server.harness import ADMIN, API, Client, ingest

SVG = "{http://www.w3.org/2000/svg}"


async def draw(client: Client, query: str = "") -> ElementTree.Element:
    """Return the picture, parsed."""
    answer = await client.get(f"{API}/plot.svg{query}", headers=ADMIN)
    assert answer.status == 200
    assert answer.content_type == "image/svg+xml"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return ElementTree.fromstring(await answer.read())


def names(picture: ElementTree.Element) -> list[str | None]:
    """Return the functions that are drawn, from the top down."""
    return [title.text for title in picture.iter(f"{SVG}title")]


async def test_the_slowest_come_first(client: Client) -> None:
    """Bars are as long as the figures, the largest first, as many as asked for."""
    await ingest(client, {"quick": [0.001] * 50, "slow": [2.0], "middling": [0.5]})
    picture = await draw(client, "?top=2")
    assert ["slow", "middling"] == names(picture)
    widths = [float(bar.get("width", 0)) for bar in picture.iter(f"{SVG}rect") if bar.get("class") is None]
    assert pytest.approx(4.0, rel=0.01) == widths[0] / widths[1]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"2 s", "500 ms"} <= set(texts)
    assert ["quick"] == names(await draw(client, "?top=1&by=calls"))
    assert ["quick"] == names(await draw(client, "?match=qu*"))


async def test_an_empty_window_says_so(client: Client) -> None:
    """A picture without bars says why."""
    assert "No calls." in [text.text for text in (await draw(client)).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "]]>&\"'", "\u202egnp.", "a\ufffeb", "x" * 512])
async def test_hostile_names_are_text(client: Client, name: str) -> None:
    """A name is one text node, whatever it holds: the picture stays well-formed and nothing in it runs."""
    await ingest(client, {name: [1.0]})
    picture = await draw(client)
    expected = "".join(char if char.isprintable() else "\ufffd" for char in name)
    assert [expected] == names(picture)
    assert {f"{SVG}{tag}" for tag in ("svg", "style", "rect", "text", "g", "title")} == {
        node.tag for node in picture.iter()
    }
    assert not any(attribute.startswith("on") for node in picture.iter() for attribute in node.attrib)


async def test_losses_are_noted(client: Client) -> None:
    """A picture of figures that are not complete says so."""
    await ingest(client, {"a": [1.0]}, dropped=3)
    assert any("not complete" in str(text.text) for text in (await draw(client)).iter(f"{SVG}text"))


@pytest.mark.parametrize("query", ["top=0", "top=101", "top=x", "by=first_seen", "by=names", "limit=3"])
async def test_bad_parameters_are_named(client: Client, query: str) -> None:
    """What a picture cannot be made of is refused by name."""
    answer = await client.get(f"{API}/plot.svg?{query}", headers=ADMIN)
    assert answer.status == 400
    assert query.partition("=")[0] in (await answer.json())["error"]["message"]
