"""Debian's Chromium before a real sidecar, watched: what it asks for, and every error in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.process.sidecar import INGEST_KEY, READ_KEY, Sidecar

DEADLINE_MS = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; no sandbox, since containers and root have none to give."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did."""

    hosts: set[str] = field(default_factory=set)
    urls: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Write down what `page` asks for from now on, and what goes wrong in it."""
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._message)

    def _request(self, request: Request) -> None:
        if request.url.startswith("http"):  # a download is a blob of the page's own
            self.urls.append(request.url)
            self.hosts.add(urlsplit(request.url).netloc)

    def _message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)


@contextmanager
def looking_at(
    browser: Browser, sidecar: Sidecar, view: str = "", *, key: str | None = READ_KEY, **options: Any
) -> Iterator[tuple[Page, Watch]]:
    """A page at a view, in a context of its own; `key` None leaves it at the prompt."""
    context = browser.new_context(**options)
    context.set_default_timeout(DEADLINE_MS)
    page, watch = context.new_page(), Watch()
    watch.follow(page)
    page.goto(f"{sidecar.url}/{view}")
    if key is not None:
        enter_key(page, key)
        drawn(page)
    yield page, watch
    context.close()


def enter_key(page: Page, key: str) -> None:
    """Answer the prompt."""
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Show the figures").click()


def drawn(page: Page) -> None:
    """Wait for an answer on the page."""
    page.locator("html[data-drawn]").wait_for(state="attached")


def view_of(page: str, **query: str) -> str:
    """The address of a view, behind the sidecar's."""
    return f"#{page}?{urlencode(query)}"


def ingest(sidecar: Sidecar, durations: dict[str, list[float]], **envelope: object) -> None:
    """Count calls: durations in seconds by function name."""
    body = {"durations": durations, **envelope}
    status, answer = sidecar.request("POST", "/api/v1/profiling/ingest", body, key=INGEST_KEY)
    assert status == 200, answer
