"""What the console's pages say, the log of acts, and how the console is started."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from feilun import messages
from feilun.project import Workspace
from feilun.project.housekeeping import meaning
from feilun.web import access as access_module
from helpers.cli import command, environment
from helpers.console import Console, console, item_of, worked
from helpers.linear import answered
from helpers.rows import write_reviews

HTML = Path(access_module.__file__).parent / "html"


def test_texts_of_strangers_are_never_markup(shop: Console) -> None:
    project, text = shop.workspace.project("reviews"), "<img src=x onerror=alert(1)>"
    answered(project, 1, seed=77, rows=[(text, "bad")])
    shop.workspace.customers.add("<b>bold</b>")
    with shop.signed_in("owner") as http:
        for path in ("/calls/call-77-0", "/customers", "/p/reviews/review", "/system"):
            page = http.get(path).text
            assert "<img src=x" not in page, path
            assert "<b>bold" not in page, path
        assert "&lt;img src=x" in http.get("/calls/call-77-0").text


def test_the_house_tells_what_stays_and_what_each_setting_means(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        assert "reviews@1" in http.get("/system/versions").text
        page = http.get("/p/reviews/settings", params={"lang": "zh"}).text
        assert "min_corrections" in page
        assert meaning("new labels that an update waits for", "zh") in page
        made = http.post("/system/backup", data={"folder": "kept"})
        assert made.status_code == 303
        assert (shop.workspace.folder / "kept" / "backup.json").is_file()
        assert f"{shop.workspace.folder / 'kept'}" in html.unescape(http.get("/system").text)


def test_a_form_that_fails_keeps_what_was_typed(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        answer = http.post("/projects", data={"name": "not a name!", "task": "text-classification"})
    assert answer.status_code == 400
    assert 'value="not a name!"' in answer.text
    assert 'role="alert"' in answer.text


def test_every_act_is_in_the_log_under_who_did_it(shop: Console, tmp_path: Path) -> None:
    answered(shop.workspace.project("reviews"), 2, seed=31)
    file = write_reviews(tmp_path / "more.csv", 20, seed=12)
    with shop.signed_in("operator") as http:
        before = shop.workspace.acts.head()
        http.post("/customers", data={"name": "Logged"})
        http.post("/p/reviews/runs", data={"kind": "train", "method": "linear"})
        item = item_of(http.get("/p/reviews/review").text)
        http.post("/p/reviews/review", data={**item, "label": "great", "note": "a private word"})
        check = http.post("/p/reviews/data", files={"file": ("more.csv", file.read_bytes())})
        http.get("/calls")
        http.post(check.headers["location"], data={})  # looked at, not kept
        http.post("/p/reviews/try", data={"in:text": "asked alone"})
        known = int(before.partition(":")[0])
        acts = [one for one in shop.workspace.acts.list(9).rows if one["number"] > known]
        assert [one["action"] for one in acts] == [
            "customer.create",
            "console.runs",
            "console.review",
            "console.data",
        ]
        assert {one["actor"] for one in acts} == {"operator:a operator"}
        assert acts[1]["detail"] == {"kind": "train"}
        assert acts[2]["detail"] == item
        worked(shop.workspace, shop.workspace.store.catalog.runs("reviews", limit=1)[0].id)
        # All of them are reached, page by page.
        number, place = int(shop.workspace.acts.head().partition(":")[0]), "/system"
        seen: set[int] = set()
        while place:
            page = http.get(place).text
            seen |= set(map(int, re.findall(r'<tr><td class="number">(\d+)</td>', page)))
            earlier = re.search(r'href="\?before=(\d+)#acts"', page)
            place = f"/system?before={earlier[1]}" if earlier else ""
        assert seen == set(range(1, number + 1))


def test_times_are_those_of_the_readers_zone(shop: Console) -> None:
    created = shop.workspace.store.catalog.model_version("reviews@1").created
    with shop.signed_in("operator") as http:
        assert f"{created:%Y-%m-%d %H:%M} UTC</time>" in http.get("/p/reviews/versions").text
        http.cookies.set("zone", "Asia%2FShanghai")
        there = created.astimezone(ZoneInfo("Asia/Shanghai"))
        for page in ("/p/reviews/versions", "/p/reviews/versions/reviews@1"):
            shown = http.get(page).text
            assert f"{there:%Y-%m-%d %H:%M}</time>" in shown
            assert f"{created:%Y-%m-%d %H:%M}</time>" not in shown


def test_every_word_of_the_pages_exists() -> None:
    used = set()
    for file in HTML.glob("*.html"):
        used |= set(re.findall(r"""\bt\(["'](\w+)["'](?!\s*~)""", file.read_text("utf-8")))
    assert used
    missing = [key for key in sorted(used) if not messages.has(f"console.{key}")]
    assert not missing


def test_the_console_of_an_empty_workspace_says_what_to_do_first(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace, console(workspace) as served:
        with served.signed_in("owner") as http:
            page = http.get("/").text
            assert messages.t("console.empty_workspace", "en") in page
            chinese = http.get("/", params={"lang": "zh"})
            assert messages.t("console.empty_workspace", "zh") in chinese.text
            form = {"name": "sample", "task": "text-classification", "sample": "yes"}
            made = http.post("/projects", data=form)
            assert made.headers["location"] == "/p/sample/runs"
            assert workspace.project("sample").rows("").rows
            none = http.post("/projects", data={**form, "name": "x", "task": "nonsense"})
            assert none.status_code >= 400
            assert [one.name for one in workspace.projects()] == ["sample"]
        with httpx.Client(base_url=served.address) as http:
            assert http.get("/nothing").status_code == 404


@pytest.mark.slow
def test_a_server_brings_its_console_and_takes_it_along(tmp_path: Path) -> None:
    words = command("serve", "--port", "0", "--console", "--console-port", "0", "--json")
    with (
        (tmp_path / "said.txt").open("w") as said,
        subprocess.Popen(
            words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=said
        ) as server,
    ):
        assert server.stdout
        assert "docs" in json.loads(server.stdout.readline())
        address = ""
        while not address:
            found = re.search(
                r"http://127.0.0.1:\d+(?=/enter)", (tmp_path / "said.txt").read_text()
            )
            address = found[0] if found else ""
        assert httpx.get(f"{address}/login").status_code == 200
        server.terminate()
        server.wait(60)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/login")


@pytest.mark.slow
def test_a_console_takes_its_api_along(tmp_path: Path) -> None:
    words = command("console", "--port", "0", "--api-port", "0", "--no-browser", "--json")
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        with Workspace(tmp_path) as workspace:
            found = workspace.store.catalog.servers()
            while not found:
                found = workspace.store.catalog.servers()
        assert httpx.get(f"{found[0].address}/healthz").status_code == 200
        process.terminate()
        process.wait(60)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{found[0].address}/healthz")
