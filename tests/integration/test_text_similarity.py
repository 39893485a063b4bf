"""Search through the whole wheel: rows in both languages, a call, a correction, an update; and the
routes with what they refuse."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from feilun import messages
from feilun.billing.prices import set_price
from feilun.errors import NotFound
from feilun.project import Project, Workspace
from feilun.serving.process import temporary_server
from helpers.bert import write_bert

THINGS = ("tea", "soap", "lamp", "phone", "book", "bread", "coffee", "knife", "chair", "shirt")
ENGLISH = (
    ("How do I return a {}?", "To return a {} send it back within two weeks; postage is ours."),
    ("When does my {} arrive?", "Every {} is on its way for three days, longer before holidays."),
    ("Who repairs a broken {}?", "A broken {} is repaired in our workshop at no cost."),
)
CHINESE = (
    ("怎么退货：{}？", "{}在两周内寄回即可退货，运费由我们承担。"),
    ("{}什么时候送到？", "{}一般三天送达，节假日前会更久。"),
)
GOODS = ("茶叶", "香皂", "台灯", "手机", "图书", "面包", "咖啡", "菜刀", "椅子", "衬衫")
NEW = "Gift cards are sold at the till and never expire."


def _rows(forms: tuple[tuple[str, str], ...], things: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(q.format(one), a.format(one)) for one in things for q, a in forms]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose BM25 version is live: questions in English from CSV and in Chinese from
    JSON lines, and documents that nobody asked for yet."""
    messages.use("en")
    folder = tmp_path_factory.mktemp("search")
    with (folder / "faq.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "answer"), *_rows(ENGLISH, THINGS)])
    lines = [
        json.dumps({"问题": question, "答案": answer}, ensure_ascii=False)
        for question, answer in _rows(CHINESE, GOODS)
    ]
    (folder / "faq.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "more.csv").write_text(
        "document\nWe ship to islands by boat.\n岛屿用船运送。\n", "utf-8"
    )
    with Workspace(folder / "w") as workspace:
        project = workspace.init("faq", task="text-similarity")
        project.add(folder / "faq.csv", folder / "faq.jsonl", folder / "more.csv")
        project.run(method="bm25")
        set_price(workspace.store.catalog, "faq", 5, "USD")
        yield project


@pytest.fixture(scope="module")
def http(project: Project) -> Iterator[httpx.Client]:
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        headers = {"Authorization": f"Bearer {workspace.create_key('Ada').secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            yield client


def _used(http: httpx.Client) -> dict[str, Any]:
    data = http.get("/v1/usage").json()["data"]
    names = {name for row in data for name in row if isinstance(row[name], int)}
    found: dict[str, Any] = {name: sum(row.get(name, 0) for row in data) for name in names}
    return found | {"amount": sum(float(row["amount"]) for row in data)}


def test_it_is_judged_by_questions_alone(project: Project) -> None:
    found = project.evaluate()
    ndcg, share = found.metrics["ndcg"], found.metrics["catalogue_coverage"]
    assert ndcg is not None
    assert share is not None
    assert 0.5 < ndcg["low"] <= ndcg["value"] <= ndcg["high"]
    assert found.report is not None
    assert "<svg" in Path(found.report).read_text("utf-8")


def test_search_in_both_languages_and_over_documents_without_a_question(http: httpx.Client) -> None:
    for query, begins in (
        ("Returning the soap", "To return a soap"),
        ("菜刀几天到", "菜刀一般三天送达"),
        ("boats to islands", "We ship to islands"),
    ):
        answer = http.post("/v1/search", json={"model": "faq", "query": query, "k": 3}).json()
        assert answer["model"] == "faq@1"
        assert len(answer["results"]) <= 3
        assert answer["results"][0]["document"]["text"].startswith(begins)
        scores = [one["relevance_score"] for one in answer["results"]]
        assert scores == sorted(scores, reverse=True)
    assert not http.post("/v1/search", json={"query": "xyzzy"}).json()["results"]


def test_a_search_is_explained_by_the_words_of_the_query(http: httpx.Client) -> None:
    body = {"model": "faq", "inputs": ["Kindly returning the soap", "xyzzy"], "explain": True}
    found, nothing = http.post("/v1/predict", json=body).json()["outputs"]
    why = found["explanation"]
    assert found["items"][0]["item"].startswith(why["for"])
    weights = {one["text"]: one["weight"] for one in why["parts"]}
    assert max(weights, key=lambda word: weights[word]) in ("returning", "soap")
    assert nothing["explanation"] is None


def test_rerank_has_the_usual_shape_and_is_charged_by_documents(http: httpx.Client) -> None:
    before = _used(http)
    documents = ["a chair", {"text": "return the soap"}, "a chair", "退货"]
    body = {"query": "return soap", "documents": documents, "top_n": 3, "return_documents": True}
    answer = http.post("/v1/rerank", json=body).json()
    assert [one["index"] for one in answer["results"]] == [1, 0, 2]
    assert answer["results"][0]["document"] == {"text": "return the soap"}
    assert 0 < answer["results"][0]["relevance_score"] < 1
    assert answer["usage"] == {"inputs": 1, "tokens": 11, "total_tokens": 11, "documents": 4}
    bare = http.post("/v1/rerank", json={"query": "退货", "documents": ["退货"]}).json()
    assert set(bare["results"][0]) == {"index", "relevance_score"}
    after = _used(http)
    assert after["documents"] - before.get("documents", 0) == 5
    assert after["tokens"] - before.get("tokens", 0) == 11 + 4
    assert after["amount"] - before["amount"] == pytest.approx(2 * 0.005)


def test_what_a_caller_brings_is_kept_only_with_its_inputs(
    http: httpx.Client, project: Project
) -> None:
    workspace = project.workspace
    body = {"query": "a secret", "documents": [f"secret paper {n}" for n in range(30)]}
    kept = http.post("/v1/rerank", json=body).json()
    assert len(kept["results"]) == 30
    row = workspace.store.ledger.prediction(kept["id"], 0)
    assert [one["item"] for one in row.output["items"]] == [f"secret paper {n}" for n in range(10)]
    label = {"prediction_id": kept["id"], "label": "secret paper 7"}
    assert http.post("/v1/feedback", json=label).status_code == 200
    silent = workspace.create_key("Cy", store_inputs=0).secret
    answer = http.post("/v1/rerank", json=body, headers={"Authorization": f"Bearer {silent}"})
    assert answer.status_code == 200
    with pytest.raises(NotFound):
        workspace.store.ledger.prediction(answer.json()["id"], 0)
    label = {"prediction_id": answer.json()["id"], "label": "secret paper 7"}
    refused = http.post("/v1/feedback", json=label, headers={"Authorization": f"Bearer {silent}"})
    assert refused.status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("search", {"query": " \n"}, 422, "api.empty_query", "query"),
        ("search", {"query": "a", "k": 0}, 422, "api.bad_count", "k"),
        ("search", {"query": "a", "k": 1001}, 422, "api.bad_count", "k"),
        ("search", {"query": ["a"]}, 422, "api.wrong_type", "query"),
        ("search", {}, 422, None, "query"),
        ("search", {"query": "a", "filter": {}}, 422, None, "filter"),
        ("search", {"query": "a" * 1_000_001}, 413, "api.text_too_long", "query"),
        ("rerank", {"query": "", "documents": ["a"]}, 422, "api.empty_query", "query"),
        ("rerank", {"query": "a", "documents": []}, 422, "api.no_documents", "documents"),
        ("rerank", {"query": "a", "documents": ["b"] * 10_000}, 413, "api.too_many_documents",
         "documents"),
        ("rerank", {"query": "a", "documents": ["b", "  "]}, 422, "api.empty_document",
         "documents[1]"),
        ("rerank", {"query": "a", "documents": ["b", 3]}, 422, "api.wrong_type", "documents[1]"),
        ("rerank", {"query": "a", "documents": ["b"], "top_n": 0}, 422, "api.bad_count", "top_n"),
        ("embeddings", {"input": "a"}, 400, "api.no_vectors", "model"),
    ],
)  # fmt: skip
def test_what_is_refused_costs_nothing(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    before = _used(http)
    answer = http.post(f"/v1/{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert code in (None, error["code"])
    assert _used(http) == before


def test_both_routes_stand_in_the_document(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for path in ("/v1/search", "/v1/rerank"):
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert body.rpartition("/")[2] in document["components"]["schemas"]
        assert operation["responses"]["200"]["content"]
    (model,) = http.get("/v1/models").json()["data"]
    assert model["search"] is True
    assert model["embeddings"] is False


@pytest.mark.slow
def test_a_corrected_search_finds_the_document_after_the_update(
    http: httpx.Client, project: Project
) -> None:
    query = "voucher for a friend"
    first = http.post("/v1/search", json={"query": query}).json()
    assert NEW not in [one["document"]["text"] for one in first["results"]]
    correction = {"prediction_id": first["id"], "label": NEW}
    assert http.post("/v1/feedback", json=correction).json()["label"] == NEW
    (learnt,) = project.update(overrides={"update.min_corrections": 1}).stages
    found = project.predict("do gift cards expire", model=learnt.version)
    assert found.outputs[0]["items"][0]["item"] == NEW


@pytest.mark.slow
def test_an_encoder_gives_vectors_to_openai_s_client(project: Project, tmp_path: Path) -> None:
    """Its weights are drawn at random: what counts is that all fits together."""
    base = write_bert(tmp_path / "base")
    version = project.run(method="dense", overrides={"project.base": str(base)}).stages[-1].version
    project.deploy(version, force=True, reason="for its vectors")
    workspace = project.workspace
    with temporary_server(workspace.folder, workspace.settings) as address:
        secret = workspace.create_key("Bo").secret
        client = openai.OpenAI(
            base_url=f"{address}/v1",
            api_key=secret,
            max_retries=0,
            http_client=httpx.Client(trust_env=False),
        )
        with client:
            texts = ["the tea", "the soap"]
            whole = client.embeddings.create(model="faq", input=texts)
            assert whole.model == version
            rows = np.array([one.embedding for one in whole.data])
            assert rows.shape == (2, 32)
            cut = client.embeddings.create(
                model="faq", input=texts, dimensions=8, encoding_format="float"
            )
            first = np.array([one.embedding for one in cut.data])
            wanted = rows[:, :8] / np.linalg.norm(rows[:, :8], axis=1, keepdims=True)
            np.testing.assert_allclose(first, wanted, atol=1e-6)
            with pytest.raises(openai.UnprocessableEntityError, match="33"):
                client.embeddings.create(model="faq", input="the tea", dimensions=33)
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            body = {"query": "the tea", "documents": ["the soap", "the tea"]}
            answer = http.post("/v1/rerank", json=body).json()
            assert answer["results"][0]["index"] == 1
            assert answer["usage"] == {
                "inputs": 1, "tokens": 12, "total_tokens": 12, "documents": 2,
            }  # fmt: skip
            found = http.post("/v1/search", json={"query": "Returning the soap", "k": 2}).json()
            assert len(found["results"]) == 2
