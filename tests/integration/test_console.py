"""The console over HTTP: who may see what, forms that another site forged, sessions that end."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from feilun import messages
from feilun.errors import Conflict, InvalidSettings, RateLimited, Unauthorized
from feilun.feedback.collect import accept
from feilun.project import Workspace
from feilun.project.erasing import pending
from feilun.project.housekeeping import meaning
from feilun.store.ledger_records import Event
from feilun.store.records import StepRun
from feilun.web import access as access_module
from feilun.web.access import ROLES, Access, Role
from feilun.web.app import pages
from feilun.web.curves import curves
from feilun.web.guard import COOKIE
from feilun.web.view import Page
from helpers.cli import command, environment
from helpers.console import Console, console
from helpers.linear import QUICK, answered, linear_project
from helpers.rows import reviews, write_reviews

HTML = Path(access_module.__file__).parent / "html"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A workspace with a live version, two customers and answers that can be reviewed."""
    folder = tmp_path_factory.mktemp("shop")
    with linear_project(folder) as project:
        project.run(method="linear", overrides=QUICK)
        answered(project, 12)
        project.workspace.customers.add("Second")
        with console(project.workspace) as served:
            yield served


@pytest.fixture(scope="module")
def names(shop: Console) -> dict[str, str]:
    """What stands for each part of a path."""
    catalog = shop.workspace.store.catalog
    customer = catalog.customers()[0].id
    key = shop.workspace.create_key("Customer")
    return {
        "project": "reviews",
        "version": "reviews@1",
        "data": "reviews:1",
        "number": "1",
        "run": catalog.runs("reviews")[0].id,
        "customer": customer,
        "key": key.id,
        "token": "0",
        "name": "nobody",
        "kind": "plan",
        "call": "call-5-0",
    }


def _worked(workspace: Workspace, *runs: str) -> None:
    """Works until the runs have ended; the console's own worker may hold one of them."""
    under_way = {"queued", "running"}
    while {workspace.store.catalog.run(run).state for run in runs} & under_way:
        workspace.work(once=True, say=lambda _: None)
        time.sleep(0.05)


def _filled(page: Page, names: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], page.path)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_others(
    shop: Console, names: dict[str, str], role: Role
) -> None:
    with shop.signed_in(role, customer=names["customer"] if role == "customer" else None) as http:
        for page in pages():
            if not page.roles or page.live or page.path == "/logout":
                continue
            path = _filled(page, names)
            if role not in page.roles:
                assert http.request(page.method, path).status_code == 403, path
            elif page.method == "GET":
                assert http.get(path).status_code in (200, 303, 404), path


def test_nobody_sees_anything_without_signing_in(shop: Console, names: dict[str, str]) -> None:
    with shop.client() as http:
        for page in pages():
            if page.roles:
                answer = http.request(page.method, _filled(page, names))
                assert answer.status_code == 303, page.path
                assert answer.headers["location"].startswith("/login")


def test_a_customer_sees_no_invoice_of_another(shop: Console, names: dict[str, str]) -> None:
    catalog = shop.workspace.store.catalog
    mine, other = [c.id for c in catalog.customers()][:2]
    shop.workspace.invoices.credit(other, "1.00", "a gift", currency="USD")
    with shop.signed_in("customer", customer=mine) as http:
        page = http.get("/mine").text
        assert catalog.customer(mine).name in page
        assert catalog.customer(other).name not in page
        for path in (f"/customers/{other}", f"/money/{other}"):
            assert http.get(path).status_code == 403
        for path in ("/invoices/INV-2026-0001", "/invoices/INV-2026-0001/csv"):
            assert http.get(path).status_code == 404


def test_a_customer_who_tries_what_others_own_finds_nothing(
    shop: Console, names: dict[str, str]
) -> None:
    """On every route with an id in it, whatever the method, and in every query."""
    workspace = shop.workspace
    other = workspace.init("secret", exist_ok=True)
    key = workspace.create_key("Limited", project=other.name)  # not live, and nothing is called
    mine = workspace.store.catalog.customer_named("Limited")
    assert mine is not None
    secret, _ = shop.access.admit(mine.id, mine.name, key.id)
    tried = 0
    with shop.client({COOKIE: secret, "lang": "en"}) as http:
        for page in pages():
            if "{" not in page.path or not page.roles or page.live:
                continue
            answer = http.request(page.method, _filled(page, names))
            expected = 404 if "customer" in page.roles else 403
            assert answer.status_code == expected, (page.method, page.path)
            tried += "customer" in page.roles
        listed = http.get("/mine/calls", params={"customer": names["customer"]})
        assert messages.t("calls.none", "en") in listed.text
        assert "curl" not in http.get("/mine").text  # the key opens nothing that is live
    assert tried >= 7
    with shop.signed_in("operator") as http:
        shown = http.get("/calls/call-5-0").text
        assert 'href="/p/reviews"' in shown
        assert messages.t("calls.cost", "en") in shown


def test_a_customer_sees_calls_without_what_they_cost_and_says_what_is_right(shop: Console) -> None:
    workspace = shop.workspace
    key = workspace.create_key("Customer")
    customer = workspace.store.catalog.customer_named("Customer")
    assert customer is not None
    secret, _ = shop.access.admit(customer.id, customer.name, key.id)
    with shop.client({COOKIE: secret, "lang": "en"}) as http:
        assert "call-5-1" in http.get("/mine/calls").text
        page = http.get("/mine/calls/call-5-1").text
        assert messages.t("calls.cost", "en") not in page
        said = http.post("/mine/calls/call-5-1", data={"index": "0", "label": "great"})
        assert said.status_code == 303
        [told] = workspace.store.ledger.feedback_of("call-5-1", 0)
        assert (told.label, told.source, told.key_id) == ("great", "customer", key.id)
        workspace.store.ledger.take_back(told.id)
        # No server answers, and nothing is answered to a customer without being metered.
        tried = http.post("/mine/try/reviews", data={"in:text": "great"})
        assert tried.status_code == 404
    bare = workspace.create_key("Customer", scopes=("usage",))
    secret, _ = shop.access.admit(customer.id, customer.name, bare.id)
    with shop.client({COOKIE: secret}) as http:
        assert http.post("/mine/calls/call-5-1", data={"label": "bad"}).status_code == 403


def test_a_customer_is_out_when_the_key_is(shop: Console) -> None:
    key = shop.workspace.create_key("Second")
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).status_code == 303
        assert http.get("/mine").status_code == 200
        shop.workspace.revoke_key(key.prefix)
        assert http.get("/mine").headers["location"].startswith("/login")


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


def test_numbers_lead_to_their_calls_and_calls_to_version_and_data(
    shop: Console, names: dict[str, str]
) -> None:
    shop.workspace.store.ledger.commit(
        [
            Event(
                call_id="priced",
                units={"calls": 1, "inputs": 1},
                amount=2_000,
                customer=names["customer"],
                project="reviews",
                endpoint="reviews",
                model_version="reviews@1",
                data_version="reviews:1",
            )
        ]
    )
    month = f"{datetime.now(UTC):%Y-%m}"
    with shop.signed_in("operator") as http:
        money = html.unescape(http.get("/money").text)
        assert f'href="/calls?customer=Customer&period={month}"' in money
        listed = http.get("/calls", params={"customer": "Customer", "period": month}).text
        assert 'href="/calls/priced"' in listed
        call = http.get("/calls/priced").text
        assert 'href="/p/reviews/versions/reviews@1"' in call
        assert 'href="/p/reviews/data/versions/reviews:1"' in call
        assert "/calls?project=reviews" in http.get("/").text
        version = http.get("/p/reviews/versions/reviews@1").text
        assert messages.t("project.golden_requests", "en") in version
        assert messages.t("project.golden_never", "en") not in version
        assert http.get("/calls", params={"period": "soon"}).status_code == 422
        assert http.get("/calls/none").status_code == 404
        form = {"name": "basic", "currency": "EUR", "per_1000": "0.80"}
        assert http.post("/money/plans", data=form).status_code == 303
        assert http.post("/money/plans", data={**form, "per_1000": "dear"}).status_code >= 400
        suggested = http.get("/money", params={"project": "reviews", "margin": "40"})
        assert suggested.status_code == 200
        limits = {"plan": "", "monthly_budget": "5", "rate": "", "monthly_inputs": "100"}
        assert http.post(f"/customers/{names['customer']}", data=limits).status_code == 303
    kept = shop.workspace.store.catalog.customer(names["customer"]).limits
    assert (kept["monthly_inputs"], float(kept["monthly_budget"])) == (100, 5.0)


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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
    ],
    ids=lambda value: str(value),
)
def test_a_form_of_another_site_is_refused(
    shop: Console, headers: dict[str, str], status: int
) -> None:
    with shop.signed_in("owner") as http:
        if "origin" in headers:
            del http.headers["sec-fetch-site"]
        name = f"customer {headers}"
        answer = http.post("/customers", data={"name": name}, headers=headers)
    assert answer.status_code == status
    known = shop.workspace.store.catalog.customer_named(name)
    assert (known is not None) == (status == 303)


def test_a_foreign_name_reads_nothing(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        answer = http.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert "reviews" not in answer.text


def test_every_answer_carries_the_policy(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        for path in ("/", "/login", "/static/console.js", "/nothing"):
            policy = http.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        report = http.get("/p/reviews/versions/reviews@1/report/1")
        assert report.status_code == 200
        assert report.headers["content-security-policy"].startswith("sandbox")


def test_a_link_opens_once_and_its_cookie_is_no_scripts(shop: Console) -> None:
    secret = shop.access.link()
    with shop.client() as http:
        assert http.get("/enter", params={"link": secret}).status_code == 200  # uses nothing up
        answer = http.post("/enter", data={"link": secret})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
    with shop.client() as http:
        assert http.post("/enter", data={"link": secret}).status_code == 401


def test_nobody_is_sent_to_another_site_after_signing_in(shop: Console) -> None:
    shop.access.invite("Mei", "operator")
    shop.access.set_password("Mei", "long enough to be one")
    for target in ("https://evil.example", "//evil.example", "/\\evil.example"):
        data = {"name": "Mei", "password": "long enough to be one", "next": target}
        with shop.client() as http:
            assert http.post("/login", data=data).headers["location"] == "/"


def test_a_customer_comes_in_by_a_link_once_and_is_out_when_the_key_is(shop: Console) -> None:
    key = shop.workspace.create_key("Linked")
    made = shop.workspace.store.catalog.customer_named("Linked")
    assert made is not None
    page = f"/customers/{made.id}"
    with shop.signed_in("operator") as http:
        shown = http.post(f"{page}/keys/{key.id}/link").text
        found = re.search(r"/enter\?link=([\w-]+)", shown)
        assert found
        assert found[1] not in http.get(page).text
        assert shop.workspace.acts.list(1).rows[0]["action"] == "console.link"
    with shop.client() as http:
        assert http.post("/enter", data={"link": found[1]}).headers["location"] == "/"
        assert "Linked" in http.get("/mine").text
        for path in (page, "/system"):
            assert http.get(path).status_code == 403
        shop.workspace.revoke_key(key.prefix)
        assert http.get("/mine").headers["location"].startswith("/login")
    with shop.client() as http:
        assert http.post("/enter", data={"link": found[1]}).status_code == 401
    with shop.signed_in("operator") as http:
        assert http.post(f"{page}/keys/{key.id}/link").status_code == 404
        assert f"{key.id}/link" not in http.get(page).text


def test_a_customer_comes_in_by_a_key_that_works(shop: Console) -> None:
    key = shop.workspace.create_key("Customer")
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).headers["location"] == "/"
    shop.workspace.revoke_key(key.prefix)
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).status_code == 401


def test_a_form_that_fails_keeps_what_was_typed(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        answer = http.post("/projects", data={"name": "not a name!", "task": "text-classification"})
    assert answer.status_code == 400
    assert 'value="not a name!"' in answer.text
    assert 'role="alert"' in answer.text


def test_an_uploaded_file_is_shown_before_it_is_kept(shop: Console, tmp_path: Path) -> None:
    project = shop.workspace.project("reviews")
    before = project.scope.data().id
    file = write_reviews(tmp_path / "more.csv", 30, seed=9)
    with shop.signed_in("operator") as http:
        answer = http.post("/p/reviews/data", files={"file": ("../../更多.csv", file.read_bytes())})
        check = answer.headers["location"]
        page = http.get(check)
        assert page.status_code == 200
        assert "更多.csv" in page.text
        assert project.scope.data().id == before
        kept = http.post(check, data={"do": "keep"})
        assert kept.headers["location"] == "/p/reviews/data"
        assert http.get(check).status_code == 404
    assert project.scope.data().id != before


def test_a_source_is_named_by_an_owner_looked_at_and_kept(shop: Console, tmp_path: Path) -> None:
    project = shop.workspace.project("reviews")
    before, database = project.scope.data().id, tmp_path / "shop.db"
    with closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE said (words TEXT, mood TEXT)")
        made.executemany("INSERT INTO said VALUES (?, ?)", reviews(30, seed=77))
        made.commit()
    form = {"where": f"sqlite:///{database}", "query": "SELECT words, mood FROM said"}
    roles = {"chosen": "yes", "role:text": "words", "role:label": "mood"}
    with shop.signed_in("operator") as http:  # whom the machine's own files are no business of
        assert http.post("/p/reviews/data/source", data=form).status_code == 403
        assert 'name="where"' not in http.get("/p/reviews/data").text
    with shop.signed_in("owner") as http:
        page = http.post("/p/reviews/data/source", data={**form, **roles})
        assert page.status_code == 200
        assert 'value="keep"' in page.text
        assert project.scope.data().id == before
        kept = http.post("/p/reviews/data/source", data={**form, **roles, "do": "keep"})
        assert kept.headers["location"] == "/p/reviews/data"
        wrong = http.post("/p/reviews/data/source", data={"where": str(tmp_path / "none.csv")})
        assert "none.csv" in wrong.text
        assert 'role="alert"' in wrong.text
        assert http.post("/p/reviews/data/source", data={"where": ""}).status_code == 422
    assert project.scope.data().id != before


def test_rows_of_a_table_that_equal_earlier_ones_are_counted_where_that_is_wanted(
    shop: Console,
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(
        [("months", "churn"), *((n % 25, ("yes", "no")[n % 3 == 0]) for n in range(60))]
    )
    project = shop.workspace.init("customers", task="tabular-classification")
    rows = []
    with shop.signed_in("operator") as http:
        for more in ({}, {}, {"append": "yes"}):
            content = text.getvalue().encode()
            sent = http.post("/p/customers/data", files={"file": ("march.csv", content)})
            page = sent.headers["location"]
            assert ('name="append"' in http.get(page).text) == bool(rows)
            assert http.post(page, data={"do": "keep", **more}).status_code == 303
            rows.append(sum(sum(one.values()) for one in project.scope.data().counts.values()))
    assert rows == [60, 60, 120]


def test_a_file_that_cannot_be_understood_says_why_and_offers_its_columns(shop: Console) -> None:
    with shop.signed_in("operator") as http:
        content = b"a,b\n1,2\n3,4\n"
        answer = http.post("/p/reviews/data", files={"file": ("numbers.csv", content)})
        page = http.get(answer.headers["location"])
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert "<option >a</option>" in page.text


def test_rows_are_found_by_what_they_say_and_where_they_stand(shop: Console) -> None:
    dataset = shop.workspace.project("reviews").scope
    row = next(dataset.context().dataset(dataset.data()).examples("test"))
    with shop.signed_in("operator") as http:
        page = http.get("/p/reviews/data", params={"text": str(row.item).upper(), "split": "test"})
        assert str(row.item) in html.unescape(page.text)
        none = http.get("/p/reviews/data", params={"text": "no row says this"}).text
        assert messages.t("project.no_such_rows", "en") in none
        assert http.get("/p/reviews/data", params={"split": "nonsense"}).status_code == 400


def test_rows_go_to_a_labelling_tool_and_their_labels_come_back(shop: Console) -> None:
    project = shop.workspace.project("reviews")
    with shop.signed_in("operator") as http:
        asked = {"format": "csv", "split": "test"}
        sent = http.get("/p/reviews/data/export", params=asked)
        assert ".csv" in sent.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(sent.content.decode("utf-8-sig"))))
        assert {row["split"] for row in rows} == {"test"}
        lines = http.get("/p/reviews/data/export", params={"format": "doccano"}).text.splitlines()
        assert len(lines) == len(project.scope.context().dataset(project.scope.data()))
        packed = http.get("/p/reviews/data/export", params={"format": "label-studio"}).content
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            tasks, interface = sorted(archive.namelist(), key=lambda name: name.endswith(".xml"))
            found = json.loads(archive.read(tasks))
            assert b"<Choices" in archive.read(interface)
        strange = http.get("/p/reviews/data/export", params={"format": "runes"})
        assert strange.status_code == 400
        assert "doccano" in html.unescape(strange.text)
        assert not list(shop.workspace.store.folder.glob("export-*"))

        [turned, *_] = found
        before = turned["annotations"][0]["result"][0]["value"]["choices"][0]
        other = {"bad": "great", "great": "bad"}[before]
        turned["annotations"][0]["result"][0]["value"]["choices"] = [other]
        back = {"file": ("project-1.json", json.dumps([turned]))}
        taken = http.post("/p/reviews/data/relabel", files=back)
        assert (taken.status_code, taken.headers["location"]) == (303, "/p/reviews/data")
        [row] = project.rows(turned["data"]["row_id"]).rows
        assert row["label"] == other
        assert sum(one.relabelled for one in project.diff_data().splits.values()) == 1
        unnamed = {"file": ("a.csv", "text,label\ntea,bad\n")}
        assert http.post("/p/reviews/data/relabel", files=unnamed).status_code == 422
        project.use_data(str(project.scope.data().number - 1))
    assert not any(
        file.is_file() for file in (shop.workspace.store.folder / "uploads").rglob("a.csv")
    )


def test_two_reviewers_get_different_answers_and_undo_their_own(shop: Console) -> None:
    ledger = shop.workspace.store.ledger
    with shop.signed_in("reviewer") as http, shop.signed_in("operator") as other:
        first = _item(http.get("/p/reviews/review").text)
        assert _item(other.get("/p/reviews/review").text) != first
        http.post("/p/reviews/review", data={**first, "label": "good"})
        assert _item(http.get("/p/reviews/review").text) != first
        said = ledger.feedback_of(first["id"], int(first["index"]))
        assert [(one.label, one.source) for one in said] == [("good", "reviewer")]
        http.post("/p/reviews/review", data={**first, "do": "undo"})
        assert not ledger.feedback_of(first["id"], int(first["index"]))
        assert _item(http.get("/p/reviews/review").text) == first


def _item(page: str) -> dict[str, str]:
    hidden = r'name="id" value="([^"]+)"><input type="hidden" name="index" value="(\d+)"'
    found = re.search(hidden, page)
    assert found
    return {"id": found[1], "index": found[2]}


def test_what_is_queued_is_executed_and_shown(shop: Console) -> None:
    with shop.signed_in("operator") as http:
        settings = {"kind": "train", "method": "linear"}
        assert http.post("/p/reviews/runs", data=settings).status_code == 303
        last = ""
        with http.stream("GET", "/p/reviews/runs/live", timeout=120) as events:
            for line in events.iter_lines():
                if line.startswith('data: {"html"'):
                    last = json.loads(line.removeprefix("data: "))["html"]
                if line == "event: done":
                    break
    assert last.count("finished") >= 2
    assert "queue" not in last


def test_why_a_run_failed_is_said_in_the_readers_language_and_it_goes_on(shop: Console) -> None:
    catalog, error = shop.workspace.store.catalog, Conflict("store.no_run", id="another")
    config = shop.workspace.project("reviews").config({"task.feature_bits": 12})
    config_json = config.model_dump(mode="json")
    run = catalog.add_run("reviews-train-9", "reviews", "train", config=config_json)
    catalog.update_run(run.id, state="failed", error=error.sentence())
    with shop.signed_in("operator") as http:
        for lang in messages.LANGUAGES:
            for page in ("runs", f"runs/{run.id}"):
                shown = http.get(f"/p/reviews/{page}", params={"lang": lang}).text
                assert html.escape(error.message(lang)) in shown
        assert messages.t("console.go_on", "zh") in shown
        answer = http.post(f"/p/reviews/runs/{run.id}/go-on")
        assert answer.status_code == 303, answer.text
        [place] = catalog.runs("reviews", states=("queued", "running"), kinds=("train",))
        assert place.config.get("set", {}) in ({}, {"task.feature_bits": 12})
        _worked(shop.workspace, place.id)
        assert http.post(f"/p/reviews/runs/{place.id}/go-on").status_code == 409


def test_every_act_is_in_the_log_under_who_did_it(shop: Console, tmp_path: Path) -> None:
    answered(shop.workspace.project("reviews"), 2, seed=31)
    file = write_reviews(tmp_path / "more.csv", 20, seed=12)
    with shop.signed_in("operator") as http:
        before = shop.workspace.acts.head()
        http.post("/customers", data={"name": "Logged"})
        http.post("/p/reviews/runs", data={"kind": "train", "method": "linear"})
        item = _item(http.get("/p/reviews/review").text)
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
        _worked(shop.workspace, shop.workspace.store.catalog.runs("reviews", limit=1)[0].id)
        # All of them are reached, page by page.
        number, place = int(shop.workspace.acts.head().partition(":")[0]), "/system"
        seen: set[int] = set()
        while place:
            page = http.get(place).text
            seen |= set(map(int, re.findall(r'<tr><td class="number">(\d+)</td>', page)))
            earlier = re.search(r'href="\?before=(\d+)#acts"', page)
            place = f"/system?before={earlier[1]}" if earlier else ""
        assert seen == set(range(1, number + 1))


def test_a_note_on_an_answer_goes_with_its_label(shop: Console) -> None:
    ledger = shop.workspace.store.ledger
    answered(shop.workspace.project("reviews"), 2, seed=32)
    with shop.signed_in("reviewer") as http:
        item = _item(http.get("/p/reviews/review").text)
        place = item["id"], int(item["index"])
        http.post("/p/reviews/review", data={**item, "label": "great", "note": "half of it"})
        assert [one.note for one in ledger.remarks_of(*place)] == ["half of it"]
        assert [one.label for one in ledger.feedback_of(*place)] == ["great"]
        http.post("/p/reviews/review", data={**item, "do": "undo"})
        assert not ledger.remarks_of(*place)
        assert not ledger.feedback_of(*place)


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


def test_an_invoice_is_a_page_and_a_file_and_leads_to_its_calls(shop: Console) -> None:
    workspace, month = shop.workspace, "2026-01"
    customer = workspace.customers.add("Invoiced").id
    event = Event(
        call_id="old",
        units={"calls": 1, "inputs": 1},
        amount=2_000_000,
        customer=customer,
        project="reviews",
        endpoint="reviews",
        created=datetime(2026, 1, 9, tzinfo=UTC),
    )
    workspace.store.ledger.commit([event])
    workspace.invoices.close(month)
    [invoice] = workspace.invoices.list(customer=customer).rows
    with shop.signed_in("operator") as http:
        shown = html.unescape(http.get(f"/money/{customer}").text)
        calls = f"/calls?customer=Invoiced&period={month}"
        assert f'href="{calls}"' in shown
        assert "/calls/old" in http.get(calls).text
        mine = html.unescape(http.get(f"/customers/{customer}").text)
        assert 'href="#keys"' in mine
    with shop.signed_in("customer", customer=customer) as http:
        shown = http.get("/mine/invoices").text
        assert f'href="/mine/calls?period={month}"' in shown
        file = f"/invoices/{invoice['number']}/csv"
        assert f'href="{file}"' in shown
        assert http.get(file).headers["content-type"].startswith("text/csv")


def test_a_top_up_is_recorded_once_and_shown_to_its_customer(shop: Console) -> None:
    customer = shop.workspace.customers.add("Prepaying").id
    with shop.signed_in("operator") as http:
        page = http.get(f"/money/{customer}").text
        once = re.search(r'name="once" value="(\w+)"', page)
        assert once
        form = {"topup": "12.50", "currency": "EUR", "note": "by bank", "once": once[1]}
        for _ in range(2):  # a button that is pressed twice
            assert http.post(f"/money/{customer}/topup", data=form).status_code == 303
        page = http.get(f"/money/{customer}").text
        assert page.count("by bank") == 1
        assert messages.t("console.balance_left", "en", amount="12.50", currency="EUR") in page
        wrong = http.post(f"/money/{customer}/topup", data={**form, "topup": "lots", "once": "2"})
        assert wrong.status_code == 422
        assert 'value="lots"' in wrong.text
    assert shop.workspace.acts.list(3).rows[-1]["actor"] == "operator:a operator"
    with shop.signed_in("customer", customer=customer) as http:
        page = http.get("/mine").text
        assert "12.50 EUR" in page
        assert "by bank" in page


def test_a_person_is_looked_for_and_then_erased(shop: Console) -> None:
    workspace = shop.workspace
    workspace.project("reviews").add([{"text": "Olga Meyer was here", "label": "good"}])
    form = {"texts": "Olga Meyer\n\n", "keep_out": "yes", "do": "look"}
    with shop.signed_in("owner") as http:
        page = http.post("/system/erase", data=form)
        assert page.status_code == 200
        assert "Olga Meyer" in page.text  # what was typed stands there
        assert messages.t("console.erase_now", "en") in page.text
        assert http.post("/system/erase", data={"texts": " "}).status_code == 400
        assert http.post("/system/erase", data={**form, "do": "erase"}).status_code == 303
        while pending(workspace.scope):  # the console's own worker may be faster
            workspace.work(once=True, say=lambda _: None)
        page = http.get("/system/erase").text
        assert messages.t("console.erased_before", "en") in page
        assert "Olga" not in page
    assert not workspace.project("reviews").rows("Olga Meyer").rows
    act = next(one for one in workspace.acts.list(5).rows if one["action"] == "person.erase")
    assert act["actor"] == "owner:a owner"  # who asked, not who did


def test_a_subject_leads_to_its_erasing_for_an_owner(shop: Console) -> None:
    project = shop.workspace.project("reviews")
    rows = [(f"tea of Ada Byron, {n}", "great", "Ada Byron") for n in range(3)]
    project.add([{"text": text, "label": label, "subject": who} for text, label, who in rows])
    target = "/system/erase?subjects=Ada+Byron&project=reviews"
    with shop.signed_in("owner") as http:
        shown = html.unescape(http.get("/p/reviews/data", params={"text": "of Ada"}).text)
        assert f'href="{target}">Ada Byron</a>' in shown
        assert 'href="/system/erase?texts=of+Ada&project=reviews"' in shown
        form = http.get(target).text
        assert ">Ada Byron</textarea>" in form
        assert 'value="reviews" selected' in form
        found = http.post(
            "/system/erase", data={"subjects": "Ada Byron", "project": "reviews"}
        ).text
        assert messages.t("console.erase_now", "en") in found
    with shop.signed_in("operator") as http:
        shown = http.get("/p/reviews/data", params={"text": "of Ada"}).text
        assert "Ada Byron" in shown
        assert "/system/erase" not in shown


def test_a_look_at_the_data_is_done_by_a_worker_and_what_it_finds_is_mended(shop: Console) -> None:
    workspace = shop.workspace
    project = workspace.project("reviews")
    wrong = "tea stale awful broken tasteless disgusting, never again, money wasted"
    mail = "coffee lovely, arrived on time, write to ada@example.com"
    rows = [*reviews(200, seed=31, noise=0.0), (wrong, "great"), (mail, "great")]
    before = project.add([{"text": text, "label": label} for text, label in rows])
    with shop.signed_in("operator") as http:
        assert http.get("/p/reviews/data/audit/page").status_code == 404
        assert http.get("/p/reviews/data", params={"suspect": "yes"}).status_code == 404
        assert http.post("/p/reviews/data/mend", data={"finding": "0"}).status_code == 404
        for _ in range(2):  # pressed twice, it is done once
            assert http.post("/p/reviews/data/audit").status_code == 303
        [asked] = [r for r in workspace.store.catalog.runs("reviews") if r.kind == "data audit"]
        assert messages.t("console.kind_data_audit", "en") in http.get("/p/reviews/runs").text
        _worked(workspace, asked.id)
        assert workspace.store.catalog.run(asked.id).state == "finished"
        page = http.get("/p/reviews/data/audit/page")
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("sandbox")
        shown = html.unescape(http.get("/p/reviews/data/audit").text)
        assert "<iframe" in shown

        found = {one.code: place for place, one in enumerate(project.findings())}
        assert "Mask e-mail addresses" in shown
        assert http.post("/p/reviews/data/mend", data={"finding": "99"}).status_code == 404
        doubted = http.get("/p/reviews/data", params={"suspect": "yes", "text": wrong}).text
        [row] = re.findall(r'name="suspect" value="(?!yes)([^"]+)"', doubted)
        assert wrong in doubted
        assert http.post("/p/reviews/data/mend", data={"suspect": [row]}).status_code == 303
        form = {"finding": str(found["personal"])}
        assert http.post("/p/reviews/data/mend", data=form).status_code == 303
        asked = workspace.store.catalog.runs("reviews", kinds=("data clean",))
        _worked(workspace, *(one.id for one in asked))
        with http.stream("GET", "/p/reviews/data/audit/live", timeout=120) as events:
            assert "event: done" in events.iter_lines()
        assert [workspace.store.catalog.run(one.id).error for one in asked] == [None, None]
        assert [one["label"] for one in project.rows(wrong).rows] == ["bad"]
        assert not project.rows("ada@example.com").rows
        assert not http.get("/p/reviews/data/audit").text.count("<iframe")  # not looked at yet
        used = http.post("/p/reviews/data/use", data={"version": before.version})
        assert used.headers.get("location") == "/p/reviews/data", used.text
        [newest] = project.workspace.store.catalog.data_versions("reviews")[-1:]
        assert f'href="/p/reviews/data/versions/{newest.id}"' in http.get("/p/reviews/data").text
        told = html.unescape(http.get(f"/p/reviews/data/versions/{newest.id}").text)
        assert all(note in told for note in project.diff_data().tables()[0].notes)
        assert [one["label"] for one in project.rows(wrong).rows] == ["great"]


def test_looks_before_a_decision_are_queued_and_their_results_kept(shop: Console) -> None:
    workspace = shop.workspace
    with shop.signed_in("operator") as http:
        page = http.get("/p/reviews/explore").text
        for kind in ("plan", "compare", "bases", "explore", "judge"):
            assert messages.t(f"console.look_{kind}", "en") in html.unescape(page)
        assert http.get("/p/reviews/explore/nonsense").status_code == 404
        assert http.get("/p/reviews/upstream").status_code == 404  # nothing is passed on
        assert http.post("/p/reviews/explore/judge").status_code == 422  # which address?
        assert http.get("/p/reviews/explore/frontier.svg").status_code == 404
        for _ in range(2):  # pressed twice, it is done once
            assert http.post("/p/reviews/explore/plan").status_code == 303
        [asked] = workspace.store.catalog.runs("reviews", kinds=("plan",))
        with http.stream("GET", "/p/reviews/explore/plan/live", timeout=120) as events:
            assert "event: done" in events.iter_lines()
        assert workspace.store.catalog.run(asked.id).error is None
        for lang in messages.LANGUAGES:
            page = http.get("/p/reviews/explore/plan", params={"lang": lang}).text
            assert messages.t("runs.plan_memory", lang) in page
        assert http.get(f"/p/reviews/runs/{asked.id}").status_code == 200


def test_every_run_is_reached_page_by_page(shop: Console) -> None:
    catalog = shop.workspace.store.catalog
    other = shop.workspace.init("many", exist_ok=True)
    for number in range(104):
        catalog.add_run(f"many-run-{number:04}", other.name, "run", state="finished")
    with shop.signed_in("operator") as http:
        for page in ("runs", "runs/compare"):
            found: list[str] = []
            place = f"/p/many/{page}"
            while place:
                shown = http.get(place).text
                found += dict.fromkeys(re.findall(r"many-run-\d{4}", shown))
                older = re.search(r'href="\?(offset=\d+)">Older', shown)
                place = f"/p/many/{page}?{older[1]}" if older else ""
            assert found == [f"many-run-{number:04}" for number in reversed(range(104))], page
        last = http.get("/p/many/runs", params={"offset": "100"}).text
        assert 'href="?offset=50"' in last
        assert "data-live" not in last
        assert http.get("/p/many/runs", params={"offset": "9" * 30}).status_code == 200
        chosen = http.get("/p/many/runs/compare", params={"run": "many-run-0001"}).text
        assert 'type="hidden" name="run" value="many-run-0001"' in chosen


def test_runs_stand_side_by_side_and_a_baseline_is_pinned(shop: Console) -> None:
    run = next(r.id for r in shop.workspace.store.catalog.runs("reviews") if r.kind == "run")
    with shop.signed_in("operator") as http:
        assert run in http.get("/p/reviews/runs/compare").text
        page = http.get("/p/reviews/runs/compare", params={"run": run}).text
        assert messages.t("runs.same_settings", "en") in page
        pressed = http.post("/p/reviews/runs/compare", data={"run": run, "baseline": run})
        assert pressed.headers["location"].endswith(f"?run={run}")
        assert "checked" in http.get("/p/reviews/runs/compare").text
        assert http.get("/p/reviews/runs/compare", params={"run": "nothing"}).status_code == 404


def test_a_new_label_is_one_button_away_from_being_answered(shop: Console) -> None:
    project = shop.workspace.project("reviews")
    store, rows = shop.workspace.store, [(f"where is parcel {n}", "question") for n in range(5)]
    form = {"kind": "update", "quick": "yes"}
    with shop.signed_in("operator") as http:
        assert 'name="quick"' not in http.get("/p/reviews").text
        refused = http.post("/p/reviews/runs", data=form)
        assert refused.status_code == 409
        assert "nothing for a quick update" in refused.text
        for number, (call, label) in enumerate(answered(project, 5, seed=91, rows=rows), 1):
            accept(store.catalog, store.ledger, call, 0, label, source="operator")
            page = http.get("/p/reviews").text
            assert f"question ({number})" in page
            assert ("Answer them now" in page) == (number == 5)
        assert "Answer them now" in http.get("/p/reviews/versions").text
        assert http.post("/p/reviews/runs", data=form).status_code == 303
    queued = [run.config for run in store.catalog.runs("reviews", kinds=("update",))]
    asked = {"update.quick": True, "update.min_corrections": 5, "update.new_label_rows": 5}
    assert asked in [one.get("set") for one in queued]
    with shop.signed_in("reviewer") as http:
        assert "Answer them now" not in http.get("/p/reviews").text


def test_a_curve_joins_what_was_measured_and_shows_its_numbers_whole() -> None:
    told = [(4, 2.5, 1.9), (8, 1.0, 1.9), (12, 0.5, 0.4), (16, 0.00111, 0.4)]
    points = [(at, {"loss": one, "validation_loss": held}) for at, one, held in told]
    step = StepRun("run", "train:full", 1, "running", datetime.now(UTC), None, {}, None, points)
    [drawn] = curves([step])
    train, held = re.findall(r'points="([^"]+)"', drawn.drawing)
    assert (len(train.split()), len(held.split())) == (4, 2)  # told again is not measured again
    assert [line for line, _ in drawn.legend] == ["train", "validation"]
    said = re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]+)<', drawn.drawing)
    assert "0.00111" in [text for _, text in said]
    assert all(float(edge) >= 7 * len(text) for edge, text in said), "none is cut at the left"


def test_a_session_ends_when_nobody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(tmp_path)
    secret, _ = access.enter(access.link())
    assert access.session(secret)
    assert Access(tmp_path).session(secret)  # a console that is started again knows it
    now = time.time()
    monkeypatch.setattr(access_module.time, "time", lambda: now + 13 * 3600)
    assert access.session(secret) is None


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    access = Access(tmp_path)
    link = access.link()
    secret, _ = access.enter(access.link())
    access.invite("Mei", "reviewer")
    access.set_password("Mei", "long enough to be one")
    kept = (tmp_path / "console.json").read_text()
    for one in (link, secret, "long enough"):
        assert one not in kept
    assert (tmp_path / "console.json").stat().st_mode & 0o077 == 0


def test_passwords_are_guessed_ever_more_slowly(tmp_path: Path) -> None:
    access = Access(tmp_path)
    access.invite("Mei", "reviewer")
    access.set_password("Mei", "long enough to be one")
    for _ in range(5):
        with pytest.raises(Unauthorized):
            access.sign_in("Mei", "wrong", "10.0.0.1")
    with pytest.raises(RateLimited):
        access.sign_in("Mei", "long enough to be one", "10.0.0.1")
    assert access.sign_in("Mei", "long enough to be one", "10.0.0.2")


@pytest.mark.parametrize(
    ("name", "role", "error"),
    [
        ("", "reviewer", InvalidSettings),
        ("a" * 61, "reviewer", InvalidSettings),
        ("Mei", "customer", InvalidSettings),
        ("Mei", "king", InvalidSettings),
        ("Known", "reviewer", Conflict),
    ],
)
def test_people_who_cannot_be_invited(
    tmp_path: Path, name: str, role: Any, error: type[Exception]
) -> None:
    access = Access(tmp_path)
    access.invite("Known", "reviewer")
    with pytest.raises(error):
        access.invite(name, role)


def test_who_is_removed_is_out_at_once(tmp_path: Path) -> None:
    access = Access(tmp_path)
    secret, _ = access.enter(access.invite("Mei", "reviewer"))
    access.remove("Mei")
    assert access.session(secret) is None


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
