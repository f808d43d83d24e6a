"""The page in a real browser before a real sidecar."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.browser import Watch, chromium, drawn, enter_key, ingest, looking_at, view_of
from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, READ_KEY, Sidecar

pytestmark = pytest.mark.system
expect.set_options(timeout=20_000)

HOSTILE = {
    "markup": "<img src=x onerror=\"document.title='owned'\">",
    "quotes": "\"'><script>document.title='owned'</script>",
    "right to left": "\u202egnp.exe\u202c tail",
    "long": "shop." + "x" * 507,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    with chromium() as running:
        yield running


@pytest.fixture
def shop(sidecar: Sidecar) -> Sidecar:
    """A sidecar with a few functions of two services, two versions, two senders and some losses."""
    for seq, version in enumerate(("1.4", "1.5")):
        factor = 1 + seq
        ingest(
            sidecar,
            {"GET /cart": [0.010 * factor] * 400, "POST /pay": [0.2] * 50, "shop.price": [0.0001] * 900},
            client={"id": f"sender-{version}", "seq": 1},
            service="shop",
            version=version,
            instance=f"web-{seq}:1",
            dropped=3 * seq,
        )
    ingest(sidecar, {"GET /invoice": [0.5] * 4}, service="billing", version="9")
    return sidecar


def names(page: Page) -> list[str]:
    """The functions in the table, from the top down."""
    return page.locator("#functions-table tbody .name").all_inner_texts()


def clean(watch: Watch, sidecar: Sidecar) -> None:
    """Nothing went wrong in the page, and it asked nobody but the sidecar."""
    assert [] == watch.errors
    assert {f"127.0.0.1:{sidecar.port}"} == watch.hosts


def test_the_table_says_what_is_slow(browser: Browser, shop: Sidecar) -> None:
    """Functions stand by share of time with their figures; what is missing is said, and whose it is."""
    with looking_at(browser, shop) as (page, watch):
        expect(page.locator("#functions-caption")).to_have_text("4 functions")
        assert ["POST /pay", "GET /cart", "GET /invoice", "shop.price"] == names(page)
        row = page.locator("#functions-table tbody tr").first
        expect(row.locator(".col-p95_time")).to_have_text("200\u00a0ms")
        expect(row.locator(".col-calls")).to_have_text("100")
        expect(page.locator("#losses")).to_contain_text("shop: 3 calls dropped by the app")
        expect(page.locator("#totals")).to_contain_text("Generation 1")
        clean(watch, shop)


def test_sorting_searching_and_filtering(browser: Browser, shop: Sidecar) -> None:
    """Every control of the table does what it says, by mouse and by keyboard, and the address restores the view."""
    with looking_at(browser, shop) as (page, watch):
        page.get_by_role("button", name="Calls").click()
        expect(page.locator("#functions-table tbody .name").first).to_have_text("shop.price")
        page.get_by_role("button", name="Calls").click()
        expect(page.locator("#functions-table tbody .name").first).to_have_text("GET /invoice")
        page.keyboard.press("/")
        page.keyboard.type("get ca")
        expect(page.locator("#functions-caption")).to_have_text("1 of 4 functions")
        page.keyboard.press("Escape")
        expect(page.locator("#functions-caption")).to_have_text("4 functions")
        page.locator("#service").select_option("shop")
        expect(page.locator("#functions-caption")).to_have_text("3 functions")
        page.locator("#version").select_option("1.4")
        expect(page.locator("#functions-table tbody tr").first.locator(".col-calls")).not_to_be_empty()
        page.get_by_role("radio", name="1 hour").check()
        expect(page).to_have_url(f"{shop.url}/#functions?span=1h&service=shop&version=1.4&sort=calls&order=asc")
        expect(page.locator("#losses")).to_be_visible()
        with looking_at(browser, shop, page.url.removeprefix(f"{shop.url}/")) as (other, _):
            expect(other.locator("#functions-caption")).to_have_text("3 functions")
            expect(other.get_by_role("radio", name="1 hour")).to_be_checked()
        clean(watch, shop)


def test_the_keyboard_alone_opens_a_function(browser: Browser, shop: Sidecar) -> None:
    """Arrows walk the table, Enter opens a function, Escape comes back."""
    with looking_at(browser, shop) as (page, watch):
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("GET /cart")
        expect(page.locator("#durations-chart canvas")).to_be_visible()
        expect(page.locator("#calls-chart canvas")).to_be_visible()
        expect(page.locator("#distribution .bin")).not_to_have_count(0)
        assert ["p50", "p95", "p99", "max"] == [
            text.split(" ")[0] for text in page.locator("#distribution .mark-text").all_text_contents()
        ]
        page.locator("#versions").scroll_into_view_if_needed()  # rows out of sight are not drawn
        expect(page.locator("#versions tbody .col-version")).to_have_count(2)
        page.keyboard.press("Escape")
        expect(page.locator("#functions-table")).to_be_visible()
        clean(watch, shop)


def test_comparing_two_versions(browser: Browser, shop: Sidecar) -> None:
    """The two newest versions stand side by side, the largest change first, and noise can be hidden."""
    with looking_at(browser, shop, view_of("compare", base="version:1.4", head="version:1.5")) as (page, watch):
        rows = page.locator("#compare-table tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.first).to_contain_text("GET /cart")
        expect(rows.first.locator(".col-ratio-p95")).to_contain_text("2.00")
        expect(rows.first.locator(".verdict")).to_have_text("slower, beyond chance")
        page.get_by_label("Hide what chance explains").check()
        expect(rows).to_have_count(1)
        page.get_by_title("Swap base and head").click()
        expect(rows.first.locator(".verdict")).to_have_text("faster, beyond chance")
        page.locator("#head").select_option("live")
        expect(page).to_have_url(f"{shop.url}/#compare?base=version%3A1.5&head=live&noise=hidden")
        clean(watch, shop)


def test_senders_are_listed(browser: Browser, shop: Sidecar) -> None:
    """Who ships is shown with its state and its losses."""
    with looking_at(browser, shop, "#senders") as (page, watch):
        expect(page.locator("#senders-caption")).to_have_text("2 live, 0 silent, 0 ended in order")
        assert {"web-0:1", "web-1:1"} == set(page.locator("#senders-table tbody .col-instance").all_inner_texts())
        clean(watch, shop)


def test_save_rotate_and_reset_say_what_they_will_do(browser: Browser, shop: Sidecar) -> None:
    """Each asks first, and only then does it; a save can be compared and downloaded."""
    with looking_at(browser, shop, "#saves", key=ADMIN_KEY) as (page, watch):
        dialog = page.locator("#action-dialog")
        page.get_by_role("button", name="Reset…").click()
        expect(dialog).to_contain_text("This cannot be undone")
        page.get_by_role("button", name="Cancel").click()
        assert 1 == shop.request("GET", "/api/v1/profiling/data")[1]["meta"]["generation"]
        page.get_by_role("button", name="Save…").click()
        expect(dialog).to_contain_text("The window goes on")
        page.get_by_label("File name").fill("before.json")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("#saves-table tbody .col-save-name")).to_have_text("before.json")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download before.json").click()
        assert 4 == len(json.loads(download.value.path().read_text())["data"])
        page.get_by_role("button", name="Rotate…").click()
        expect(dialog).to_contain_text("begins generation 2")
        page.get_by_role("button", name="Rotate", exact=True).click()
        expect(page.locator("#window-lead")).to_contain_text("generation 2: 0 calls")
        page.get_by_role("button", name="Reset…").click()
        page.get_by_role("button", name="Delete and begin anew").click()
        expect(page.locator("#window-lead")).to_contain_text("generation 3")
        clean(watch, shop)


def test_a_read_key_may_borrow_an_admin_key_once(browser: Browser, shop: Sidecar) -> None:
    """What the tab's key may not do asks for another, which is used and forgotten."""
    with looking_at(browser, shop, "#saves") as (page, _):
        page.get_by_role("button", name="Save…").click()
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_label("Admin key").fill(ADMIN_KEY)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("#saves-table tbody tr")).to_have_count(1)
        kept = page.evaluate("() => JSON.stringify([{...sessionStorage}, {...localStorage}])")
        assert READ_KEY in kept
        assert ADMIN_KEY not in kept


@pytest.mark.parametrize(("key", "words"), [("nobody-issued-this-key", "does not know"), (INGEST_KEY, "may not read")])
def test_a_wrong_key_is_said(browser: Browser, shop: Sidecar, key: str, words: str) -> None:
    """The prompt stays and says what is wrong; a good key then shows the figures."""
    with looking_at(browser, shop, key=None) as (page, _):
        expect(page.locator("#key-dialog")).to_be_visible()
        enter_key(page, key)
        expect(page.locator("#key-problem")).to_contain_text(words)
        enter_key(page, READ_KEY)
        drawn(page)
        expect(page.locator("#key-dialog")).to_be_hidden()
        expect(page.locator("#functions-caption")).to_have_text("4 functions")


def test_the_key_stays_in_the_tab(browser: Browser, shop: Sidecar) -> None:
    """It is in no address, no cookie and no lasting storage."""
    with looking_at(browser, shop) as (page, watch):
        page.get_by_role("radio", name="15 minutes").check()
        expect(page.locator("#functions-caption")).to_have_text("4 functions")
        assert not any(READ_KEY in url for url in [*watch.urls, page.url])
        assert [] == page.context.cookies()
        assert "{}" == page.evaluate("() => JSON.stringify({...localStorage})")


def test_a_server_that_goes_away_and_comes_back(browser: Browser, shop: Sidecar) -> None:
    """The last figures stay, it is said that they are, and the page goes on by itself."""
    with looking_at(browser, shop) as (page, _):
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        shop.kill()
        expect(page.locator("#live")).to_have_attribute("data-state", "away")
        expect(page.locator("#away")).to_contain_text("the last that came")
        assert 4 == len(names(page))
        shop.start()
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        expect(page.locator("#away")).to_be_hidden()
        assert 4 == len(names(page))


def test_the_page_is_live_until_paused(browser: Browser, shop: Sidecar) -> None:
    """New calls show without a reload; a paused page stands still."""
    with looking_at(browser, shop) as (page, watch):
        ingest(shop, {"new.function": [9.0]})
        expect(page.locator("#functions-caption")).to_have_text("5 functions")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#live-text")).to_have_text("Paused")
        ingest(shop, {"newer.function": [9.0]})
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#functions-caption")).to_have_text("6 functions")
        clean(watch, shop)


def test_an_empty_window_says_how_to_begin(browser: Browser, sidecar: Sidecar) -> None:
    """Without a call there is a hint, and no broken figure."""
    with looking_at(browser, sidecar) as (page, watch):
        expect(page.locator("#functions-empty")).to_contain_text("No calls yet")
        assert "NaN" not in page.locator("body").inner_text()
        clean(watch, sidecar)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_text(browser: Browser, sidecar: Sidecar, name: str) -> None:
    """A name, and a label, is text in every view, changes no layout, and runs nothing."""
    label = name[:128]
    ingest(sidecar, {name: [0.1] * 40}, client={"id": "sender", "seq": 1}, service=label, version=label, instance=label)
    views = [
        "#functions",
        view_of("functions", function=name),
        view_of("compare", base="live", head="live"),
        "#senders",
    ]
    for view in views:
        with looking_at(browser, sidecar, view, viewport={"width": 360, "height": 740}) as (page, watch):
            expect(page.locator("main")).to_contain_text(name if view != "#senders" else label)
            assert page.locator("img, main script").count() == 0
            assert "owned" != page.title()
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            clean(watch, sidecar)


def test_ten_thousand_functions_do_not_freeze(browser: Browser, sidecar: Sidecar) -> None:
    """Only what is in sight is drawn; the last row is a key away, and a search finds one of all."""
    for start in range(0, 9990, 1110):
        ingest(sidecar, {f"shop.module_{number:05}": [0.001] for number in range(start, start + 1110)})
    with looking_at(browser, sidecar) as (page, watch):
        rows = page.locator("#functions-table tbody tr")
        expect(page.locator("#functions-caption")).to_contain_text("9\u2009990 functions")
        assert rows.count() < 100
        page.keyboard.press("/")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("End")
        expect(page.locator("#functions-table a:focus")).to_have_text("shop.module_09989")
        assert rows.count() < 100
        page.keyboard.press("/")
        page.keyboard.type("04711")
        expect(page.locator("#functions-caption")).to_contain_text("1 of")
        clean(watch, sidecar)
