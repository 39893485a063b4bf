"""Runs and reviews in the console: what is queued, executed, compared and judged."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime

from feilun import messages
from feilun.errors import Conflict
from feilun.feedback.collect import accept
from feilun.store.records import StepRun
from feilun.web.curves import curves
from helpers.console import Console, item_of, worked
from helpers.linear import answered


def test_two_reviewers_get_different_answers_and_undo_their_own(shop: Console) -> None:
    ledger = shop.workspace.store.ledger
    with shop.signed_in("reviewer") as http, shop.signed_in("operator") as other:
        first = item_of(http.get("/p/reviews/review").text)
        assert item_of(other.get("/p/reviews/review").text) != first
        http.post("/p/reviews/review", data={**first, "label": "good"})
        assert item_of(http.get("/p/reviews/review").text) != first
        said = ledger.feedback_of(first["id"], int(first["index"]))
        assert [(one.label, one.source) for one in said] == [("good", "reviewer")]
        http.post("/p/reviews/review", data={**first, "do": "undo"})
        assert not ledger.feedback_of(first["id"], int(first["index"]))
        assert item_of(http.get("/p/reviews/review").text) == first


def test_a_note_on_an_answer_goes_with_its_label(shop: Console) -> None:
    ledger = shop.workspace.store.ledger
    answered(shop.workspace.project("reviews"), 2, seed=32)
    with shop.signed_in("reviewer") as http:
        item = item_of(http.get("/p/reviews/review").text)
        place = item["id"], int(item["index"])
        http.post("/p/reviews/review", data={**item, "label": "great", "note": "half of it"})
        assert [one.note for one in ledger.remarks_of(*place)] == ["half of it"]
        assert [one.label for one in ledger.feedback_of(*place)] == ["great"]
        http.post("/p/reviews/review", data={**item, "do": "undo"})
        assert not ledger.remarks_of(*place)
        assert not ledger.feedback_of(*place)


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
    assert 'class="state queued"' not in last


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
        worked(shop.workspace, place.id)
        assert http.post(f"/p/reviews/runs/{place.id}/go-on").status_code == 409


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
