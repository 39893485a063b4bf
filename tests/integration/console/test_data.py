"""Data in the console: what comes in, is found, labelled, mended and erased."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

from feilun import messages
from feilun.project.erasing import pending
from helpers.console import Console, worked
from helpers.rows import reviews, write_reviews


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
        worked(workspace, asked.id)
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
        worked(workspace, *(one.id for one in asked))
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
