"""Answers of each kind in a real browser, as people read, mark and correct them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from feilun.messages import t
from feilun.project import Workspace
from feilun.store.ledger_records import Prediction
from helpers.browser import CHROMIUM, WIDTHS
from helpers.console import Console, console
from helpers.console_pages import FAULTS, enter, open_page, press
from helpers.pictures import write_digits

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


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


@pytest.mark.slow
def test_answers_of_each_kind_are_shown_as_people_read_them(
    names: Console, browser: Browser, told: list[str]
) -> None:
    page = open_page(browser, told, locale="en")
    enter(page, names)

    def ask(project: str) -> None:
        press(page, t("console.ask", "en"))
        page.locator("dl.answer").wait_for()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(FAULTS) == []
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
    page = open_page(browser, told, locale="en")
    enter(page, names)
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


def test_written_answers_are_accepted_edited_and_rejected_by_keyboard(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    page = open_page(browser, told, locale="en")
    enter(page, chat)
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
    assert page.evaluate(FAULTS) == []
    assert not Axe().run(page).violations_count


@pytest.mark.slow
def test_two_versions_before_a_person_who_is_not_told_which(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    page = open_page(browser, told, locale="zh")
    enter(page, chat)
    page.goto(f"{chat.address}/p/help/review")
    page.click(f"text={t('console.preference', 'zh')}")
    page.wait_for_load_state()
    page.select_option("[name=prompts]", "test")
    press(page, t("console.preference_start", "zh"))
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
        assert page.evaluate(FAULTS) == []
    assert not Axe().run(page).violations_count


def test_a_conversation_is_written_as_it_comes_and_whole_without_a_script(
    chat: Console, browser: Browser, told: list[str]
) -> None:
    catalog = chat.workspace.store.catalog
    while not catalog.servers():
        time.sleep(0.1)
    page = open_page(browser, told, locale="zh")
    enter(page, chat)
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
    press(page, t("console.correct", "zh"))
    assert [f.label for f in chat.workspace.store.ledger.feedback_of(call)] == ["Four euros."]
    plain = open_page(browser, told, locale="en", java_script_enabled=False)
    enter(plain, chat)
    plain.goto(f"{chat.address}/p/help/try")
    for number in (5, 6):
        plain.fill("form[data-stream] textarea", f"Item {number}?")
        plain.click("form[data-stream] button")
    said = plain.locator(".talk dd").all_inner_texts()
    assert (said[0], said[1][1:], said[2], len(said)) == ("Item 5?", " euros.", "Item 6?", 4)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(FAULTS) == []
    assert not Axe().run(page).violations_count
