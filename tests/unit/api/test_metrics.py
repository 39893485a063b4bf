"""What `/metrics` tells: calls by endpoint, version and outcome, time by stage, nobody's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from feilun.api.trace import STAGES, Trace, outcome_of
from feilun.types import Usage
from helpers.embedding import add_encoder
from helpers.serving import Answering, make_key, make_workspace, serving

CUSTOMER = "Confidential Customer Ltd"
SECRET_TEXT = "great secretmarker words"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with make_workspace(Path(tmp_path_factory.mktemp("workspace"))) as store:
        add_encoder(store, tmp_path_factory.mktemp("version"))
        with serving(store) as running:
            yield running


def samples(server: Answering) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels, read by Prometheus's own parser."""
    text = server.http.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def calls(found: dict[Any, float], **labels: str) -> float:
    return sum(
        value
        for (name, given), value in found.items()
        if name == "feilun_calls_total" and labels.items() <= dict(given).items()
    )


def test_calls_by_endpoint_version_and_outcome(server: Answering) -> None:
    before = samples(server)
    for _ in range(3):
        assert server.predict("great", model="reviews").status_code == 200
    assert server.predict([], model="reviews").status_code == 422
    assert server.predict("great", model="nope").status_code == 404
    embedded = server.http.post("/v1/embeddings", json={"model": "words@1", "input": "w1"})
    assert embedded.status_code == 200
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["great"]}
    assert server.http.post("/v2/models/reviews/infer", json={"inputs": [tensor]}).is_success
    key = make_key(server.store, CUSTOMER, limits={"rate": 0.01, "burst": 1})
    head = {"authorization": f"Bearer {key.secret}"}
    statuses = [
        server.http.post("/v1/predict", json={"inputs": "x", "model": "reviews"}, headers=head)
        for _ in range(2)
    ]
    assert [one.status_code for one in statuses] == [200, 429]
    after = samples(server)

    def more(**labels: str) -> float:
        return calls(after, **labels) - calls(before, **labels)

    reviews = {"endpoint": "reviews", "model": "reviews", "version": "1"}
    assert more(**reviews, outcome="answered") == 5
    assert more(**reviews, outcome="refused") == 1
    assert more(**reviews, outcome="limited") == 1
    assert more(endpoint="words", model="words", version="1", outcome="answered") == 1
    assert more(endpoint="", outcome="refused") == 1


def test_the_stages_of_a_call_are_its_time(server: Answering) -> None:
    before = samples(server)
    for path, body in (
        ("/v1/predict", {"model": "words", "inputs": ["w1 w2"] * 64}),
        ("/v1/embeddings", {"model": "words", "input": ["w1 w2"] * 64}),
    ):
        assert server.http.post(path, json=body).status_code == 200
    after = samples(server)

    def seconds(stage: str, kind: str) -> float:
        key = (f"feilun_stage_seconds_{kind}", (("stage", stage),))
        return after[key] - before[key]

    for stage in STAGES:
        assert seconds(stage, "count") == 2, stage
        assert seconds(stage, "sum") >= 0, stage
    for stage in ("authorise", "read", "parse", "tokenise", "engine", "ledger", "write"):
        assert seconds(stage, "sum") > 0, stage
    route = [(("route", path),) for path in ("/v1/predict", "/v1/embeddings")]
    whole = sum(
        after["feilun_request_seconds_sum", one]
        - before.get(("feilun_request_seconds_sum", one), 0)
        for one in route
    )
    told = sum(seconds(stage, "sum") for stage in STAGES)
    assert 0 < told <= whole  # no time is counted twice


def test_nobody_and_nothing_of_theirs_is_named(server: Answering) -> None:
    """Not on any way: also what was refused may carry names."""
    key = make_key(server.store, CUSTOMER)
    head = {"authorization": f"Bearer {key.secret}", "x-request-id": "request-marker"}
    body = {"model": "reviews", "inputs": [SECRET_TEXT]}
    assert server.http.post("/v1/predict", json=body, headers=head).status_code == 200
    wrong = {"model": "customer-typed-model", "inputs": [SECRET_TEXT], "field-marker": 1}
    assert server.http.post("/v1/predict", json=wrong, headers=head).status_code == 422
    del wrong["field-marker"]
    assert server.http.post("/v1/predict", json=wrong, headers=head).status_code == 404
    for path in (
        "/v2/models/path-marker/infer",
        "/v2/models/path-marker",
        "/v1/models/path-marker",
    ):
        server.http.request("GET" if "infer" not in path else "POST", path, headers=head)
    server.http.get("/nowhere-marker?query-marker=1", headers=head)
    text = server.http.get("/metrics").text
    for found in (
        *(
            CUSTOMER,
            "Confidential",
            key.record.id,
            key.record.customer,
            key.secret,
            key.secret[:10],
        ),
        *(SECRET_TEXT, "secretmarker", "customer-typed-model", "marker"),
    ):
        assert str(found) not in text, found


def test_labels_are_few(server: Answering) -> None:
    """Whatever is asked, the number of series stays: a scan must not fill Prometheus."""
    before = len(samples(server))
    for number in range(30):
        server.http.get(f"/no-such-{number}")
        server.http.get(f"/v1/models/no-{number}")
        server.http.post(f"/v2/models/no-{number}/infer", json={"inputs": []})
        server.predict("x", model=f"no-{number}")
    assert len(samples(server)) - before < 200


def test_outcomes() -> None:
    told = {200: "answered", 204: "answered", 400: "refused", 401: "refused", 422: "refused"}
    told |= {429: "limited", 499: "disconnected", 500: "failed", 503: "failed"}
    assert {status: outcome_of(status) for status in told} == told


def test_a_trace_divides_the_engines_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.02, 2.0, 2.5])
    monkeypatch.setattr("feilun.api.trace.perf_counter", lambda: next(clock))
    trace = Trace()
    trace.lap_engine(Usage(queue_seconds=0.004, encode_seconds=0.006))
    assert trace.seconds["queue"] == 0.004
    assert trace.seconds["tokenise"] == 0.006
    assert trace.seconds["engine"] == pytest.approx(0.01)
    # What an engine says of itself is a share of several batches; it is never more than the clock.
    trace = Trace()
    trace.lap_engine(Usage(queue_seconds=9.0, encode_seconds=9.0))
    assert sum(trace.seconds.values()) == pytest.approx(0.5)
    assert min(trace.seconds.values()) >= 0


def test_metrics_need_no_key_and_are_text(server: Answering) -> None:
    got = httpx.get(f"{server.address}/metrics", trust_env=False)
    assert got.headers["content-type"].startswith("text/plain")
