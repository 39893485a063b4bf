"""The console in a browser: from a file to an answer, by keyboard, and over a killed console."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from feilun import Client
from feilun.messages import t
from feilun.project import Workspace
from feilun.serving.ports import bind
from helpers.browser import CHROMIUM
from helpers.cli import command, environment
from helpers.console import console
from helpers.console_pages import ANOTHER, enter, open_page, press
from helpers.linear import linear_project
from helpers.rows import reviews

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
_ZH = {"great": "好评", "bad": "差评"}
_COUNTING = """addEventListener("click", event => {
  if (event.isTrusted) localStorage.clicks = 1 + Number(localStorage.clicks || 0);
}, true)"""


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
        page = open_page(browser, told, locale="zh-CN")
        enter(page, served)
        page.add_init_script(_COUNTING)
        page.reload()
        page.fill("[name=name]", "评价")
        page.set_input_files("[name=file]", file)
        press(page, zh("create"))
        assert "gb18030" in page.inner_text("main")
        press(page, zh("keep"))
        page.click(f"nav.sub >> text={zh('runs')}")
        # The quickest method, for the test's sake: the form says the same in its folded part.
        page.eval_on_selector("[name=method]", "one => { one.value = 'linear'; }")
        press(page, zh("start"))
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
        press(page, zh("ask"))
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
        press(page, zh("create"))
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
            page.wait_for_function(ANOTHER, arg=shown)
        page.goto(served.address)
        assert t("console.say_update", "zh", count=36) in page.inner_text("main")
        page.click(f"main >> text={zh('next_update')}")
        press(page, zh("start"))
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
            press(page, zh("put_live"))
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


@pytest.mark.slow
def test_a_file_without_labels_becomes_data_by_keyboard(
    browser: Browser, told: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "texts.csv"
    rows = dict(reviews(30, noise=0.0))
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["text"], *([text] for text in rows)])
    with Workspace(tmp_path / "shop") as workspace, console(workspace) as served:
        project = workspace.init("texts")
        page = open_page(browser, told, locale="en")
        enter(page, served)
        page.goto(f"{served.address}/p/texts/label")
        page.set_input_files("[name=file]", file)
        page.fill("[name=labels]", "great, bad")
        press(page, t("console.label_begin", "en"))
        for _ in rows:
            shown = page.input_value("form.review [name=id]")
            key = "1" if rows[page.inner_text("form.review .text")] == "great" else "2"
            with page.expect_response(lambda answer: answer.request.method == "POST"):
                page.keyboard.press(key)
            page.wait_for_function(ANOTHER, arg=shown)
        page.goto(f"{served.address}/p/texts/label")
        assert t("console.label_empty", "en") in page.inner_text("main")
        assert project.labelling.state().decided == len(rows)
        press(page, t("console.label_collect", "en"))
        assert page.url.endswith("/runs")
        assert {row["input"]: row["label"] for row in project.rows("", limit=99).rows} == rows


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
            page = open_page(browser, [], locale="en")
            page.goto(link)
            page.click("main button")
            page.goto(f"http://127.0.0.1:{port}/p/reviews/runs")
            page.click("summary")
            page.select_option("[name=method]", "linear")
            press(page, t("console.start", "en"))
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
