"""Over real HTTP: thresholds, answers that are left to a person, and explanations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from feilun.client import Client
from feilun.families.classes.rule import Rule
from feilun.feedback.queue import review_queue
from helpers.serving import Answering, add_version, make_workspace, serving

SURE, UNSURE = "great excellent fine", "great broken"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    """Three projects: without a rule, with a threshold, with answers left to a person."""
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        for name, rule in (
            ("strict", Rule("bad", 0.001)),
            ("careful", Rule(abstain_below=0.98)),
        ):
            store.catalog.add_project(name, "text-classification")
            version = add_version(store, name, rule=rule, temperature=3.0)
            store.catalog.set_live(name, version.id)
        store.catalog.add_project("pictures", "image-classification")
        store.catalog.set_live("pictures", add_version(store, "pictures").id)
        with serving(store) as running:
            yield running


def test_the_threshold_decides_the_label(server: Answering) -> None:
    plain = server.predict(UNSURE, model="reviews").json()["outputs"][0]
    (output,) = server.predict(SURE, model="strict", all_scores=True).json()["outputs"]
    assert plain.keys() == {"label", "score"}
    assert output["label"] == "bad"
    assert output["scores"]["good"] > output["score"] == output["scores"]["bad"]


def test_what_is_unsure_is_left_to_a_person(server: Answering) -> None:
    body = server.predict([SURE, UNSURE], model="careful").json()
    sure, unsure = body["outputs"]
    assert sure == {"label": "good", "score": sure["score"]}
    assert unsure["abstained"] is True
    assert {"label", "score"} <= unsure.keys()
    assert body["usage"] == {"inputs": 2}
    text = server.http.get("/metrics").text
    assert 'feilun_abstained_total{model="careful",version="1"} 1.0' in text
    assert 'feilun_abstained_total{model="reviews",version="1"}' not in text


def test_review_shows_first_what_was_left_to_a_person(server: Answering) -> None:
    server.predict([SURE, "fine love excellent thing", UNSURE], model="careful")
    ledger = server.store.ledger
    queue = review_queue(ledger.recent_predictions("careful"))
    assert queue[0].output["abstained"] is True
    assert queue[0].input == UNSURE


def test_explanations_on_request(server: Answering) -> None:
    body = server.predict(["a great thing", "很差"], model="reviews", explain=True).json()
    first, second = (output["explanation"] for output in body["outputs"])
    assert (first["for"], first["against"], first["method"]) == ("good", "bad", "exact")
    weights = {part["text"]: part["weight"] for part in first["parts"]}
    assert max(weights, key=lambda word: weights[word]) == "great"
    assert "a great thing"[first["parts"][1]["start"] : first["parts"][1]["end"]] == "great"
    assert second["for"] == "bad"
    assert "scores" not in body["outputs"][0]
    assert body["usage"] == {"inputs": 2}, "explanations are not metered"
    row = server.store.ledger.prediction(body["id"])
    assert "explanation" not in row.output, "nor kept"


def test_a_picture_is_explained_by_squares(server: Answering) -> None:
    from feilun.client import encode_item
    from feilun.tasks import base as tasks

    (item, *_) = tasks.get("image-classification").example_items()
    body = server.predict(encode_item(item), model="pictures", explain=True).json()
    why = body["outputs"][0]["explanation"]
    assert why["method"] == "occlusion"
    assert [len(line) for line in why["grid"]] == [8] * 8
    assert body["usage"]["inputs"] == 1
    plain = server.predict(encode_item(item), model="pictures").json()
    assert body["usage"] == plain["usage"]


def test_few_inputs_are_explained_at_once(server: Answering) -> None:
    response = server.predict(["great"] * 17, model="reviews", explain=True)
    assert response.status_code == 413
    error = response.json()["error"]
    assert error["code"] == "api.too_many_to_explain"
    assert error["param"] == "inputs"
    assert server.predict(["great"] * 17, model="reviews").status_code == 200
    assert server.predict("great", model="reviews", explain="yes").status_code == 422


def test_the_client_explains(server: Answering) -> None:
    with Client(server.address, server.key.secret) as api:
        (output,) = api.predict(["great"], model="reviews", explain=True).outputs
    assert output["explanation"]["parts"][0]["text"] == "great"


def test_the_document_tells_of_them(server: Answering) -> None:
    schemas = server.http.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictBody"]["properties"]["explain"]["type"] == "boolean"
    output = schemas["TextClassificationOutput"]["properties"]
    assert output["abstained"] == {"const": True}
    assert "parts" in output["explanation"]["properties"]
