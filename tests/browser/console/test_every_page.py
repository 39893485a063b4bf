"""Every page of the console in a real browser: on each screen, in each language, read aloud; and
reviewing by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route

from feilun.messages import keys, raw
from helpers.browser import CHROMIUM, WIDTHS
from helpers.console import Console, console
from helpers.console_pages import ANOTHER, FAULTS, enter, open_page
from helpers.few import few
from helpers.linear import QUICK, answered, linear_project
from helpers.rows import reviews

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@cache
def _english() -> tuple[str, ...]:
    """What English sentences say between the values that are filled in, of four words or more,
    unless their Chinese ones say it too."""
    said: set[str] = set()
    for key in keys():
        sentence = raw(key)
        for both in (sentence, sentence.get("hint", {})):
            parts = re.split(r"\{[^{}]*\}|\n", both.get("en", ""))
            plain = {part.strip() for part in parts if len(re.findall("[A-Za-z]{2,}", part)) > 3}
            said |= {part for part in plain if part not in both.get("zh", "")}
    return tuple(sorted(said))


def _answer_pages(served: Console) -> list[str]:
    names = (
        "",
        "/data",
        "/data/audit",
        "/data/versions/reviews:1",
        "/runs",
        "/versions",
        "/versions/reviews@1",
        "/try",
    )
    names = (*names, "/runs/compare", "/review", "/label", "/explore", "/explore/plan", "/settings")
    names = (*names, "/data?suspect=yes")
    customer = served.workspace.store.catalog.customers()[0].id
    run = served.workspace.store.catalog.runs("reviews", kinds=("run",))[0].id
    return [
        "/",
        *(f"/p/reviews{name}" for name in names),
        f"/p/reviews/runs/{run}",
        "/calls",
        "/calls/call-5-0",
        "/customers",
        f"/customers/{customer}",
        "/money",
        f"/money/{customer}",
        "/system",
        "/system/erase",
        "/system/health",
        "/system/versions",
        "/nothing",
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with linear_project(tmp_path_factory.mktemp("shop")) as project:
        project.run(method="linear", overrides=QUICK)
        answered(project, 60)
        wrong = [(text, "great") for text, label in reviews(12, 8, noise=0.0) if label == "bad"]
        project.add(dict(zip(("text", "label"), row, strict=True))
                    for row in [*reviews(150, 7, noise=0.0), *wrong])  # fmt: skip
        project.audit()
        assert project.rows(suspect=True).rows
        with console(project.workspace) as served:
            yield served


@pytest.mark.parametrize("lang", few(["en", "zh"], "zh"))
def test_every_page_fits_every_screen_and_can_be_read_aloud(
    shop: Console, browser: Browser, lang: str
) -> None:
    complaints: list[str] = []
    scheme = "light" if lang == "en" else "dark"
    page = open_page(browser, complaints, locale=lang, color_scheme=scheme)
    enter(page, shop)
    faults: list[str] = []
    heard: set[str] = set()
    axe = Axe()
    theirs = open_page(browser, complaints, locale=lang, color_scheme=scheme)
    theirs.goto(f"{shop.address}/login")
    theirs.fill("[name=key]", shop.workspace.create_key("Customer").secret)
    theirs.click("form[action='/login/key'] button")
    mine = ["/mine", "/mine/calls", "/mine/calls/call-5-0", "/mine/invoices", "/mine/try/reviews"]
    for page, path in [
        *((page, path) for path in _answer_pages(shop)),
        *((theirs, path) for path in mine),
    ]:
        page.goto(shop.address + path)
        assert page.url == shop.address + path, "it leads elsewhere"
        found = axe.run(page)
        if found.violations_count:
            faults.append(f"{path}: {found.generate_snapshot()}")
        for width in (*WIDTHS, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"{path} at {width}: {fault}" for fault in page.evaluate(FAULTS)]
        chrome = page.inner_text("header") + "".join(page.locator("label").all_inner_texts())
        if lang == "en" and _CHINESE.search(chrome.replace("中文", "")):
            faults.append(f"{path} speaks Chinese")
        said = page.inner_text("body")
        english = [part for part in _english() if part in said]
        if lang == "en":
            heard |= {*english}
        else:
            if not _CHINESE.search(page.inner_text("h1, main")):
                faults.append(f"{path} speaks no Chinese")
            faults += [f"{path} says: {part}" for part in english]
    assert not faults
    assert bool(heard) == (lang == "en"), "the sentences looked for are those that pages say"
    # The browser itself says that the page that is not there was answered with 404.
    assert all("404" in one for one in complaints)


def test_the_first_page_is_light_and_stands_still(shop: Console, browser: Browser) -> None:
    page = open_page(browser, [], locale="en")
    enter(page, shop)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())))
    moved = """() => new Promise(done => { let sum = 0;
      new PerformanceObserver(list => { for (const one of list.getEntries()) sum += one.value; })
        .observe({type: "layout-shift", buffered: true});
      setTimeout(() => done(sum), 300); })"""
    for path in ("/", "/p/reviews/runs", "/p/reviews/try"):
        page.goto(shop.address + path, wait_until="load")
        assert page.evaluate(moved) == 0, path
    assert sizes
    assert sum(sizes) < 150_000, "all three together weigh less than one may"


def test_a_page_of_another_site_sends_nothing(shop: Console, browser: Browser) -> None:
    """The browser itself is asked, with somebody's session in it."""
    page = open_page(browser, [], locale="en")
    enter(page, shop)
    form = f"""<form method="post" action="{shop.address}/customers"><input name="name" value="Eve">
      <button>win</button></form><img src="{shop.address}/" alt="">"""
    page.route("http://evil.example/**", lambda r: r.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    with page.expect_response(lambda answer: answer.request.method == "POST") as found:
        page.click("button")
    assert found.value.status in (303, 403)  # without its cookie, to the log-in; or refused
    assert shop.workspace.store.catalog.customer_named("Eve") is None


def test_reviewing_by_keyboard(shop: Console, browser: Browser, told: list[str]) -> None:
    page = open_page(browser, told, locale="en")
    enter(page, shop)
    page.goto(f"{shop.address}/p/reviews/review")
    ledger = shop.workspace.store.ledger
    labelled = []
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    said = re.compile("/review$")
    page.route(said, lambda route: held.append(route))
    first = page.input_value("form.review [name=id]")
    page.keyboard.press("1")
    page.wait_for_function(ANOTHER, arg=first)  # while nothing has been answered: it was there
    assert len(held) == 1
    assert not ledger.feedback_of(first, 0)
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        held[0].continue_()
    page.unroute(said)
    page.wait_for_load_state("networkidle")
    page.keyboard.press("u")
    page.wait_for_function(
        "before => document.querySelector('form.review [name=id]').value === before", arg=first
    )
    page.keyboard.press("n")
    page.keyboard.type("2 of it")  # which labels nothing
    page.keyboard.press("Escape")
    for number in range(50):
        shown = page.input_value("form.review [name=id]")
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            page.keyboard.press("12"[number % 2])
        page.wait_for_function(
            "before => document.querySelector('form.review [name=id]').value !== before", arg=shown
        )
        labelled.append(shown)
    assert len(set(labelled)) == 50
    for number, shown in enumerate(labelled):
        assert [f.label for f in ledger.feedback_of(shown, 0)] == [["bad", "great"][number % 2]]
    assert [one.note for one in ledger.remarks_of(labelled[0], 0)] == ["2 of it"]
    page.keyboard.press("u")
    page.wait_for_function(
        "before => document.querySelector('form.review [name=id]').value === before",
        arg=labelled[-1],
    )
    assert not ledger.feedback_of(labelled[-1], 0)
