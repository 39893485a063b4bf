"""The console in a real browser: the whole first-run path in Chinese, and reviewing by keyboard."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from feilun import Client
from feilun.messages import keys, raw, t
from feilun.project import Workspace
from feilun.serving.ports import bind
from feilun.store.ledger_records import Prediction
from helpers.browser import CHROMIUM, WIDTHS
from helpers.cli import command, environment
from helpers.console import Console, console
from helpers.linear import QUICK, answered, linear_project
from helpers.pictures import write_digits
from helpers.rows import reviews

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ZH = {"great": "好评", "bad": "差评"}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]

_ANOTHER = """before => { const now = document.querySelector("form.review [name=id]");
  return !now || now.value !== before; }"""

_COUNTING = """addEventListener("click", event => {
  if (event.isTrusted) localStorage.clicks = 1 + Number(localStorage.clicks || 0);
}, true)"""

_FAULTS = """() => {
  const faults = [], root = document.documentElement;
  const scrolls = node => { for (let up = node; up; up = up.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false; };
  if (root.scrollWidth > root.clientWidth + 1) faults.push("the page is wider than the window");
  for (const node of document.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (box.width && box.right > root.clientWidth + 1 && !scrolls(node))
      faults.push("sticks out: " + node.outerHTML.slice(0, 80));
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(node.tagName) && node.type !== "hidden"
        && !node.labels.length && !node.ariaLabel) faults.push("no label: " + node.outerHTML);
    if (/^(BUTTON|A)$/.test(node.tagName) && !node.textContent.trim() && !node.ariaLabel)
      faults.push("no name: " + node.outerHTML.slice(0, 80));
    if (node.tagName === "IMG" && !node.alt) faults.push("no alt: " + node.outerHTML.slice(0, 80));
  }
  return faults;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield found
        found.close()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the browser complained of; nothing is right."""
    found: list[str] = []
    yield found
    assert not found


def _page(browser: Browser, told: list[str], **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.on("console", lambda m: told.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.set_default_timeout(240_000)
    return page


def _enter(page: Page, served: Console) -> None:
    page.goto(f"{served.address}/enter?link={served.access.link()}")
    page.click("main button")


def _press(page: Page, words: str) -> None:
    page.get_by_role("button", name=words, exact=True).first.click()
    page.wait_for_load_state()


def test_from_a_file_to_an_answer_and_a_key_in_chinese(
    browser: Browser, told: list[str], tmp_path: Path
) -> None:
    def zh(key: str) -> str:
        return t(f"console.{key}", "zh")

    file = tmp_path / "评价.csv"
    with file.open("w", encoding="gb18030", newline="") as out:
        rows = [(f"买家说：{text}", _ZH[label]) for text, label in reviews(80, 3, noise=0.0)]
        csv.writer(out).writerows([("评价", "情感"), *rows])
    with Workspace(tmp_path / "shop") as workspace, console(workspace, api_port=0) as served:
        page = _page(browser, told, locale="zh-CN")
        _enter(page, served)
        page.add_init_script(_COUNTING)
        page.reload()
        page.fill("[name=name]", "评价")
        page.set_input_files("[name=file]", file)
        _press(page, zh("create"))
        assert "gb18030" in page.inner_text("main")
        _press(page, zh("keep"))
        page.click(f"nav.sub >> text={zh('runs')}")
        # The quickest method, for the test's sake: the form says the same in its folded part.
        page.eval_on_selector("[name=method]", "one => { one.value = 'linear'; }")
        _press(page, zh("start"))
        # The page moves by itself; nothing is loaded again.
        page.locator("[data-live]").get_by_text(zh("state_finished")).wait_for()
        live = workspace.project("评价").live
        assert live is not None
        assert workspace.store.catalog.servers()
        assert page.evaluate("Number(localStorage.clicks)") == 4  # the fifth chooses the file
        page.click(f"nav.sub >> text={zh('versions')}")
        assert "评价@1" in page.inner_text("main")
        page.click(f"nav.sub >> text={zh('try')}")
        tried = {text: _ZH[label] for text, label in reviews(1, 9)}
        page.fill("textarea", next(iter(tried)))
        _press(page, zh("ask"))
        # The answer is written into the page as it comes.
        page.locator("section").get_by_text(re.compile("好评|差评")).first.wait_for()
        assert page.inner_text("nav.sub [aria-current]") == zh("try")
        assert zh("owner") in page.inner_text("header")
        page.click(f"header >> text={zh('money')}")
        page.fill("[name=name]", "基础")
        page.fill("[name=per_1000]", "8.00")
        page.click("form[action='/money/plans'] button")
        page.click(f"header >> text={zh('customers')}")
        page.fill("[name=name]", "小店")
        page.select_option("[name=plan]", "基础")
        _press(page, zh("create"))
        page.locator("form[action$=keys] button").click()
        secret = page.inner_text("#secret")
        assert workspace.holder(secret).name == "小店"

        # The customer calls; the operator reviews, updates, puts live and bills.
        project = workspace.project("评价")
        asked = {f"买家说：{text}": _ZH[label] for text, label in reviews(40, 21, noise=0.3)}
        with Client(workspace.store.catalog.servers()[0].address, secret) as client:
            for text in asked:
                client.predict([text], model="评价")
        page.goto(f"{served.address}/p/评价/review")
        for _ in range(36):  # of which some judge, and are not learnt
            shown = page.input_value("form.review [name=id]")
            right = (asked | tried)[page.inner_text("form.review .text").strip()]
            key = page.get_attribute(f"form.review button[value={right}]", "data-key") or ""
            with page.expect_response(lambda answer: answer.request.method == "POST"):
                page.keyboard.press(key)
            page.wait_for_function(_ANOTHER, arg=shown)
        page.goto(served.address)
        assert t("console.say_update", "zh", count=36) in page.inner_text("main")
        page.click(f"main >> text={zh('next_update')}")
        _press(page, zh("start"))
        ended = ".state.finished, .state.refused"
        page.locator("[data-live] tr:has-text('-update-')").locator(ended).wait_for()
        page.click(f"nav.sub >> text={zh('versions')}")
        page.click("text=评价@2")
        if (
            project.live is not None and project.live.id != "评价@2"
        ):  # no better: by a person's word
            page.click(f"summary >> text={zh('past_the_gate')}")
            page.check("[name=force]")
            page.fill("[name=reason]", "人工决定")
            _press(page, zh("put_live"))
        assert project.live is not None
        assert project.live.id == "评价@2"
        page.click(f"header >> text={zh('customers')}")
        page.click("td a >> text=小店")
        page.click(f"text={zh('money_of')}")
        assert f"{0.008 * len(asked):.2f}" in page.inner_text("main")  # at 8.00 for 1,000
        page.locator("main").get_by_role("link", name=zh("calls"), exact=True).first.click()
        page.click("td a >> nth=0")
        page.click("text=评价@1")
        assert page.inner_text("h1") == "评价@1"
        page.click(f"h1 + p >> text={zh('run')}")  # which made it
        assert page.url.rpartition("/")[2].startswith("%E8%AF%84%E4%BB%B7-run-")


def test_a_file_without_labels_becomes_data_by_keyboard(
    browser: Browser, told: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "texts.csv"
    rows = dict(reviews(30, noise=0.0))
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["text"], *([text] for text in rows)])
    with Workspace(tmp_path / "shop") as workspace, console(workspace) as served:
        project = workspace.init("texts")
        page = _page(browser, told, locale="en")
        _enter(page, served)
        page.goto(f"{served.address}/p/texts/label")
        page.set_input_files("[name=file]", file)
        page.fill("[name=labels]", "great, bad")
        _press(page, t("console.label_begin", "en"))
        for _ in rows:
            shown = page.input_value("form.review [name=id]")
            key = "1" if rows[page.inner_text("form.review .text")] == "great" else "2"
            with page.expect_response(lambda answer: answer.request.method == "POST"):
                page.keyboard.press(key)
            page.wait_for_function(_ANOTHER, arg=shown)
        page.goto(f"{served.address}/p/texts/label")
        assert t("console.label_empty", "en") in page.inner_text("main")
        assert project.labelling.state().decided == len(rows)
        _press(page, t("console.label_collect", "en"))
        assert page.url.endswith("/runs")
        assert {row["input"]: row["label"] for row in project.rows("", limit=99).rows} == rows


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


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_page_fits_every_screen_and_can_be_read_aloud(
    shop: Console, browser: Browser, lang: str
) -> None:
    complaints: list[str] = []
    scheme = "light" if lang == "en" else "dark"
    page = _page(browser, complaints, locale=lang, color_scheme=scheme)
    _enter(page, shop)
    faults: list[str] = []
    heard: set[str] = set()
    axe = Axe()
    theirs = _page(browser, complaints, locale=lang, color_scheme=scheme)
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
            faults += [f"{path} at {width}: {fault}" for fault in page.evaluate(_FAULTS)]
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
    page = _page(browser, [], locale="en")
    _enter(page, shop)
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
    page = _page(browser, [], locale="en")
    _enter(page, shop)
    form = f"""<form method="post" action="{shop.address}/customers"><input name="name" value="Eve">
      <button>win</button></form><img src="{shop.address}/" alt="">"""
    page.route("http://evil.example/**", lambda r: r.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    with page.expect_response(lambda answer: answer.request.method == "POST") as found:
        page.click("button")
    assert found.value.status in (303, 403)  # without its cookie, to the log-in; or refused
    assert shop.workspace.store.catalog.customer_named("Eve") is None


@pytest.mark.slow
def test_a_run_is_seen_over_a_reload_and_a_killed_console(browser: Browser, tmp_path: Path) -> None:
    with linear_project(tmp_path) as project, bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
        free.close()
        words = command("console", "--port", str(port), "--no-api", "--no-browser", "--json")

        def opened() -> tuple[subprocess.Popen[str], str]:
            process = subprocess.Popen(
                words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            return process, json.loads(process.stdout.readline())["link"]

        process, link = opened()
        try:
            page = _page(browser, [], locale="en")
            page.goto(link)
            page.click("main button")
            page.goto(f"http://127.0.0.1:{port}/p/reviews/runs")
            page.click("summary")
            page.select_option("[name=method]", "linear")
            _press(page, t("console.start", "en"))
            page.locator("[data-live] tr:has-text('reviews-')").first.wait_for()
            page.reload()
            assert page.locator("[data-live] .state.running").count()
            process.kill()
            process.communicate()
            process, _ = opened()
            # The page is the same one, and asks again by itself.
            page.locator("[data-live] .state.finished").first.wait_for()
            assert page.locator("[data-live] .state").count() == 1
        finally:
            process.terminate()
            process.communicate(timeout=60)
        [run] = project.workspace.store.catalog.runs(
            "reviews", kinds=("run",), states=("finished",)
        )[:1]
        executions = project.workspace.store.catalog.executions(run.id)
        assert all(one.finished == 1 for one in executions.values())


def test_reviewing_by_keyboard(shop: Console, browser: Browser, told: list[str]) -> None:
    page = _page(browser, told, locale="en")
    _enter(page, shop)
    page.goto(f"{shop.address}/p/reviews/review")
    ledger = shop.workspace.store.ledger
    labelled = []
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    said = re.compile("/review$")
    page.route(said, lambda route: held.append(route))
    first = page.input_value("form.review [name=id]")
    page.keyboard.press("1")
    page.wait_for_function(_ANOTHER, arg=first)  # while nothing has been answered: it was there
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


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A live version that finds people and places, and two answers that found nothing; beside it
    versions that know digits, loans and documents."""
    text = "🙂 {} moved to {}."
    rows = []
    for person in ("Anna Keller", "Li Wei", "Olga Meyer", "陈伟"):
        for place in ("Oslo", "上海", "Porto", "北京"):
            start = len("🙂 ") + len(person) + len(" moved to ")
            spans = [[2, 2 + len(person), "PER"], [start, start + len(place), "LOC"]]
            rows.append({"text": text.format(person, place), "entities": spans})
    rows += [{"text": f"Order {n} is late.", "entities": []} for n in range(30)]
    with Workspace(tmp_path_factory.mktemp("names")) as workspace:
        project = workspace.init("names", task="token-classification")
        project.add(rows)
        project.run(method="crf")
        answers = [
            Prediction(
                f"p{n}", 0, text.format("Zoë Ng", "Lima"), {"entities": []}, "[]", None, None,
                "names@1", "names", "ada",
            )
            for n in range(2)
        ]  # fmt: skip
        workspace.store.ledger.commit([], answers)
        digits = workspace.init("digits", task="image-classification")
        digits.add(write_digits(workspace.folder / "pictures", 120))
        digits.train(method="linear")
        loans = workspace.init("loans", task="tabular-classification")
        loans.add([{"income": n % 40, "city": ("Oslo", "Porto")[n % 2],
                    "label": ("no", "yes")[n % 40 > 20]} for n in range(120)])  # fmt: skip
        loans.train(method="linear")
        search = workspace.init("search", task="text-similarity")
        asked = [
            (do, who) for do in ("pay", "leave", "return", "order") for who in ("shop", "bank")
        ]
        rows = [
            {"text": f"how do I {do}?", "document": f"To {do}, ask the {w}."} for do, w in asked
        ]
        search.add([*rows, *({"text": None, "document": f"Rule {n}."} for n in range(12))])
        search.train(method="bm25")
        with console(workspace) as served:
            yield served


def test_answers_of_each_kind_are_shown_as_people_read_them(
    names: Console, browser: Browser, told: list[str]
) -> None:
    page = _page(browser, told, locale="en")
    _enter(page, names)

    def ask(project: str) -> None:
        _press(page, t("console.ask", "en"))
        page.locator("dl.answer").wait_for()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(_FAULTS) == []
        assert not Axe().run(page).violations_count, project

    page.goto(f"{names.address}/p/digits/try")
    picture = sorted((names.workspace.folder / "pictures" / "3").iterdir())[0]
    page.set_input_files("[name=file]", picture)
    ask("digits")
    heat = page.locator("svg.overlaid")
    found = names.workspace.project("digits").predict([picture.read_bytes()], explain=True)
    grid = found.outputs[0]["explanation"]["grid"]
    assert heat.locator("rect").count() == sum(map(len, grid))
    assert heat.locator("rect.for").count() == sum(one > 0 for row in grid for one in row)

    page.goto(f"{names.address}/p/loans/try")
    for name, value in (("income", "35"), ("city", "Oslo")):
        page.fill(f"[name='in:{name}']", value)
    ask("loans")
    found = names.workspace.project("loans").predict([{"income": 35, "city": "Oslo"}], explain=True)
    reasons = found.outputs[0]["explanation"]["reasons"]["en"]
    assert reasons
    assert page.locator(".reasons li").all_inner_texts() == reasons

    page.goto(f"{names.address}/p/search/try")
    page.fill("textarea", "return")
    ask("search")
    rows = page.locator("dl.answer tbody tr")
    assert "return" in rows.first.inner_text()
    assert rows.first.locator("td.number").inner_text()


def test_places_are_marked_by_keyboard_and_by_mouse(
    names: Console, browser: Browser, told: list[str]
) -> None:
    page = _page(browser, told, locale="en")
    _enter(page, names)
    page.goto(f"{names.address}/p/names/review")
    page.focus("[data-text]")
    page.keyboard.press("Control+ArrowRight")  # Zoë
    page.keyboard.press("Control+Shift+ArrowRight")  # Zoë Ng
    page.keyboard.press("2")
    assert page.locator("mark").all_inner_texts() == ["Zoë Ng"]
    word = page.evaluate(
        """() => { const node = document.querySelector("[data-text]").lastChild;
        const range = document.createRange(), at = node.data.indexOf("Lima");
        range.setStart(node, at + 1); range.setEnd(node, at + 2);
        const box = range.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; }"""
    )
    page.mouse.dblclick(*word)
    page.click("[data-mark=LOC]")
    page.click("mark >> nth=0")
    page.keyboard.press("Delete")
    assert page.locator("mark").all_inner_texts() == ["Lima"]
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.keyboard.press("Enter")
    page.wait_for_selector("[data-text]")
    labelled = [
        row.label for n in range(2) for row in names.workspace.store.ledger.feedback_of(f"p{n}", 0)
    ]
    assert labelled == ['[{"start":18,"end":22,"label":"LOC"}]']


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A live version that answers in words, and six answers of it."""
    with Workspace(tmp_path_factory.mktemp("chat")) as workspace:
        project = workspace.init("help", task="chat")
        project.add([{"prompt": f"Item {n}?", "completion": f"{n} euros."} for n in range(20)])
        project.train(method="memory")
        workspace.store.catalog.set_live("help", "help@1")
        project.add(
            [{"prompt": "When do you open?", "completion": "At nine, and we close at six."}]
        )
        project.add(
            [{"prompt": f"Tell me the price of item {n}", "completion": str(n)} for n in range(12)]
            + [
                {"prompt": f"When do you open on day {n}?", "completion": "nine"} for n in range(12)
            ],
            split="test",
        )
        project.train(method="memory")
        answers = [
            Prediction(
                f"p{n}", 0, asked, {"generated_text": f"Hello.\nIt is {n}."},
                f"Hello.\nIt is {n}.", None, None, "help@1", "help", "ada",
            )
            for n, asked in enumerate(
                ["When do you open?", "Is it blue?", "多少钱？", "Who are you?", "Bye.", "Where?"]
            )
        ]  # fmt: skip
        workspace.store.ledger.commit([], answers)
        with console(workspace, api_port=0) as served:
            yield served


def test_written_answers_are_accepted_edited_and_rejected_by_keyboard(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    page = _page(browser, told, locale="en")
    _enter(page, chat)
    page.goto(f"{chat.address}/p/help/review")
    ledger = chat.workspace.store.ledger

    def shown() -> str:
        return page.input_value("form.review [name=id]")

    def press(keys: str) -> str:
        before = shown()
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            page.keyboard.press(keys)
        page.wait_for_function(
            "before => document.querySelector('form.review [name=id]').value !== before", arg=before
        )
        return before

    accepted = press("Enter")
    assert [one.label for one in ledger.feedback_of(accepted)] == [f"Hello.\nIt is {accepted[1]}."]
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("At nine, 1 or 2.")
    edited = press("Control+Enter")
    assert [one.label for one in ledger.feedback_of(edited)] == ["At nine, 1 or 2."]
    page.fill("[name=note]", "of last year")
    page.keyboard.press("Escape")
    rejected = press("1")
    (remark,) = ledger.remarks_of(rejected)
    assert (remark.reason, remark.note) == ("wrong_fact", "of last year")
    assert not ledger.feedback_of(rejected)
    page.keyboard.press("u")
    page.wait_for_function(
        "id => document.querySelector('form.review [name=id]').value === id", arg=rejected
    )
    assert not ledger.remarks_of(rejected)
    page.wait_for_load_state("networkidle")
    page.fill("textarea", "What I typed.")
    page.keyboard.press("Escape")
    page.route("**/review/next", lambda route: route.abort())  # the item after the next never comes
    assert press("2") == rejected
    assert [one.label for one in ledger.feedback_of(rejected)] == ["What I typed."]

    page.context.set_offline(True)
    page.fill("textarea", "A long answer, typed in vain?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#offline")
    assert page.input_value("textarea") == "A long answer, typed in vain?"
    page.context.set_offline(False)
    page.unroute("**/review/next")
    told.clear()  # the browser says that it was offline
    ledger.forget_inputs("help")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".problem[role=alert] .hint, .problem[role=alert]:not(#offline)")
    assert page.input_value("textarea") == "A long answer, typed in vain?"
    assert all("410" in line for line in told)
    told.clear()
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    assert page.evaluate(_FAULTS) == []
    assert not Axe().run(page).violations_count


def test_two_versions_before_a_person_who_is_not_told_which(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    page = _page(browser, told, locale="zh")
    _enter(page, chat)
    page.goto(f"{chat.address}/p/help/review")
    page.click(f"text={t('console.preference', 'zh')}")
    page.wait_for_load_state()
    page.select_option("[name=prompts]", "test")
    _press(page, t("console.preference_start", "zh"))
    assert t("console.preference_answering", "zh") in page.inner_text("main")
    project = chat.workspace.project("help")
    (asked,) = chat.workspace.store.catalog.runs("help", kinds=("preference",))
    for _ in range(600):  # the console's own worker has them answer
        if chat.workspace.store.catalog.run(asked.id).state not in ("queued", "running"):
            break
        page.wait_for_timeout(200)
    assert chat.workspace.store.catalog.run(asked.id).state == "finished"
    page.reload()
    begun = project.preference.state()
    assert (begun.version, begun.against, begun.prompts) == ("help@2", "help@1", "test")
    assert begun.pairs > 3
    for number in range(begun.pairs):
        shown = page.inner_text("form.review")
        assert "help@" not in shown
        before = page.input_value("form.review [name=id]")
        texts = page.locator(".beside .text").all_inner_texts()
        newer = next(key for key, text in zip("12", texts, strict=True) if "six" in text)
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            page.keyboard.press(newer if number else "4")
        page.wait_for_function(
            """before => document.querySelector("form.review [name=id]")?.value !== before""",
            arg=before,
        )
    found = project.preference.state()
    assert (found.judged, found.wins, found.bad) == (begun.pairs, begun.pairs - 1, 1)
    page.goto(f"{chat.address}/p/help/preference")
    assert "help@2" in page.inner_text("table")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(_FAULTS) == []
    assert not Axe().run(page).violations_count


def test_a_conversation_is_written_as_it_comes_and_whole_without_a_script(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    catalog = chat.workspace.store.catalog
    while not catalog.servers():
        time.sleep(0.1)
    page = _page(browser, told, locale="zh")
    _enter(page, chat)
    page.goto(f"{chat.address}/p/help/try")
    loaded: list[str] = []
    page.on("load", lambda _: loaded.append(page.url))
    page.fill("textarea", "Item 3?")
    page.click("#talk form[data-stream] button")
    page.locator(".talk dd >> nth=1").wait_for()
    [asked, answered] = page.locator(".talk dd").all_inner_texts()
    assert (asked, answered[1:]) == ("Item 3?", " euros.")
    page.fill("form[data-stream] textarea", "Item 4?")
    page.click("form[data-stream] button")
    page.locator(".talk dd >> nth=3").wait_for()
    assert page.locator(".talk dd").all_inner_texts()[:3] == [asked, answered, "Item 4?"]
    assert not loaded  # nothing was loaded anew
    call = page.input_value("form[action$=correct] [name=id]")
    assert chat.workspace.call(call).events
    page.fill("form[action$=correct] textarea", "Four euros.")
    _press(page, t("console.correct", "zh"))
    assert [f.label for f in chat.workspace.store.ledger.feedback_of(call)] == ["Four euros."]
    plain = _page(browser, told, locale="en", java_script_enabled=False)
    _enter(plain, chat)
    plain.goto(f"{chat.address}/p/help/try")
    for number in (5, 6):
        plain.fill("form[data-stream] textarea", f"Item {number}?")
        plain.click("form[data-stream] button")
    said = plain.locator(".talk dd").all_inner_texts()
    assert (said[0], said[1][1:], said[2], len(said)) == ("Item 5?", " euros.", "Item 6?", 4)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(_FAULTS) == []
    assert not Axe().run(page).violations_count
