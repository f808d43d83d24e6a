"""The page's routes and files, without a browser."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.server.dashboard import files
from chronoprof_sidecar.settings import Settings
from tests.server.harness import KEYS, Client

STATIC = Path(files.__file__).with_name("static")
NAMES = sorted(path.name for path in STATIC.iterdir())
OURS = [name for name in NAMES if not name.startswith("uplot")]


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, tmp_path: Path) -> Client:
    """A client without a key."""
    keys = tuple(KEYS.values())
    return await aiohttp_client(create_app(Settings(port=0, data_dir=tmp_path / "data", admin_keys=keys[:1])))


class Page(HTMLParser):
    """What index.html loads, and what it must not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.inline: list[str] = []
        self.feed((STATIC / files.PAGE).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" or (tag == "script" and "src" in given):
            self.loaded.add(str(given.get("href") or given.get("src")))
        elif tag in {"script", "style"}:
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{name}" for name in NAMES)])
async def test_every_file_is_served(client: Client, path: str) -> None:
    """Each file is answered whole, with its type, under the policy, and may be asked about by its tag."""
    answer = await client.get(path, headers={"Accept-Encoding": "identity"})
    name = path.rpartition("/")[2] or files.PAGE
    assert (200, (STATIC / name).read_bytes()) == (answer.status, await answer.read())
    assert files.CONTENT_TYPES[Path(name).suffix] == answer.headers["Content-Type"]
    assert "nosniff" == answer.headers["X-Content-Type-Options"]
    again = await client.get(path, headers={"If-None-Match": f"W/{answer.headers['ETag']}"})
    assert (304, b"") == (again.status, await again.read())


async def test_the_policy_allows_the_sidecar_alone(client: Client) -> None:
    """Nothing inline runs, nothing is evaluated, no other host is reached, and no page may frame this one."""
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert {"'none'"} == {rules[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")}
    assert {"'self'"} == {rules[name] for name in ("script-src", "style-src", "connect-src", "img-src")}
    assert ("'script'", "'none'") == (rules["require-trusted-types-for"], rules["trusted-types"])


async def test_the_page_is_compressed_for_who_can_read_it(client: Client) -> None:
    """A client that takes gzip gets the same content in fewer bytes."""
    answer = await client.get("/", headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
    assert "gzip" == answer.headers["Content-Encoding"]
    assert (STATIC / files.PAGE).read_bytes() == gzip.decompress(await answer.read())


@pytest.mark.parametrize("name", ["none.js", "..%2fpages.py", "%2e%2e%2fpages.py", "index.html%00"])
async def test_no_other_file_is_served(client: Client, name: str) -> None:
    """Only the page's own files have an answer: there is no path into the file system."""
    assert (await client.get(f"/dashboard/{name}")).status in {400, 404}


def test_the_page_holds_nothing_inline() -> None:
    """What the policy would block is not there, and whatever the page loads exists."""
    page = Page()
    assert [] == page.inline
    assert set() == {path.removeprefix("dashboard/") for path in page.loaded} - set(NAMES)


@pytest.mark.parametrize("name", OURS)
def test_no_file_names_another_host(name: str) -> None:
    """Nothing is loaded from elsewhere: the only addresses are names of XML vocabularies."""
    found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+\S*", (STATIC / name).read_text(encoding="utf-8")))
    assert set() == {address for address in found if "www.w3.org/2000/svg" not in address}


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_no_module_parses_markup(name: str) -> None:
    """Text stays text: no module has a way to turn a function's name into elements or code."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|\beval\(|new Function\("
    assert re.search(ways, (STATIC / name).read_text(encoding="utf-8")) is None


def test_modules_import_what_there_is() -> None:
    """Every import leads to a file beside the module."""
    for name in OURS:
        for target in re.findall(r'from "\./([^"]+)"', (STATIC / name).read_text(encoding="utf-8")):
            assert target in NAMES, f"{name} imports {target}"


def test_what_is_vendored_says_so() -> None:
    """uPlot's version is in its files' names, and its licence beside them."""
    versions = {re.findall(r"\d+\.\d+\.\d+", name)[0] for name in NAMES if name.startswith("uplot")}
    (version,) = versions
    assert f"(v{version})" in (STATIC / f"uplot-{version}.esm.js").read_text(encoding="utf-8")
    assert "MIT License" in (STATIC / f"uplot-{version}.license.txt").read_text(encoding="utf-8")


TEXTS = ("ink", "muted", "accent", "p50", "p95", "p99", "bad", "good", "warn")
GROUNDS = ("surface", "ground", "raised", "hover")
PAIRS = [(text, ground) for text in TEXTS for ground in GROUNDS]
PAIRS += [("warn", "warn-soft"), ("bad", "bad-soft"), ("on-accent", "accent"), ("accent", "accent-soft")]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """Every colour of text has the contrast that WCAG 2.2 asks for (AA, 4.5) on every ground, light and dark."""
    rules = re.findall(r":root \{(.*?)\n\s*\}", (STATIC / "base.css").read_text(encoding="utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", rules[scheme]))
    assert not {pair for pair in PAIRS if contrast(*(colours[name] for name in pair)) < 4.5}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, as WCAG 2.2 defines it."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
