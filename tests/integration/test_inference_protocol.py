"""The Open Inference Protocol v2, spoken by an unmodified public client (Triton's) and by hand."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from feilun.billing.prices import set_price
from feilun.families.classes.rule import Rule
from feilun.tasks import base as tasks
from helpers.serving import Answering, add_version, client, make_key, make_workspace, serving

TEXTS = ["great", "broken", "很好", "", "42"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        store.catalog.add_project("pictures", "image-classification")
        store.catalog.set_live("pictures", add_version(store, "pictures").id)
        store.catalog.add_project("careful", "text-classification")
        careful = add_version(store, "careful", rule=Rule(abstain_below=0.9))
        store.catalog.set_live("careful", careful.id)
        set_price(store.catalog, "reviews", 1.5, "USD")
        with serving(store) as running:
            yield running


@pytest.fixture
def oip(server: Answering) -> Iterator[triton.InferenceServerClient]:
    made = triton.InferenceServerClient(server.address.removeprefix("http://"))
    yield made
    made.close()


@pytest.fixture
def headers(server: Answering) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.key.secret}"}


def tensor(texts: list[Any], *, binary: bool, name: str = "text") -> triton.InferInput:
    made = triton.InferInput(name, [len(texts)], "BYTES")
    made.set_data_from_numpy(np.array(texts, object), binary_data=binary)
    return made


def infer(server: Answering, model: str = "reviews", **body: Any) -> httpx.Response:
    return server.http.post(f"/v2/models/{model}/infer", json=body)


def words(texts: list[str], **more: Any) -> dict[str, Any]:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts, **more}


def test_health_and_metadata(
    oip: triton.InferenceServerClient, headers: dict[str, str], server: Answering
) -> None:
    assert oip.is_server_live()
    assert oip.is_server_ready()
    assert oip.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert oip.is_model_ready("reviews", headers=headers)
    assert oip.is_model_ready("reviews", "1", headers=headers)
    assert not oip.is_model_ready("reviews", "2", headers=headers)
    assert not oip.is_model_ready("nope", headers=headers)
    metadata = oip.get_model_metadata("reviews", headers=headers)
    assert metadata == oip.get_model_metadata("reviews", "1", headers=headers)
    assert (metadata["name"], metadata["versions"]) == ("reviews", ["1"])
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "score", "datatype": "FP32", "shape": [-1]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "labels", "datatype": "BYTES", "shape": [2]},
    ]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["", "1"])
def test_texts(
    oip: triton.InferenceServerClient,
    headers: dict[str, str],
    server: Answering,
    binary: bool,
    version: str,
) -> None:
    """In binary by default, as the client does it unasked, and in JSON."""
    outputs = None
    if not binary:
        outputs = [triton.InferRequestedOutput(n, binary_data=False) for n in ("label", "score")]
    result = oip.infer(
        "reviews", [tensor(TEXTS, binary=binary)], version, outputs, "mine", headers=headers
    )
    expected = server.predict(TEXTS, model="reviews").json()["outputs"]
    labels = [v.decode() if isinstance(v, bytes) else v for v in result.as_numpy("label")]
    assert labels == [output["label"] for output in expected]
    np.testing.assert_allclose(
        result.as_numpy("score"), [output["score"] for output in expected], atol=1e-6
    )
    said = result.get_response()
    assert (said["model_name"], said["model_version"], said["id"]) == ("reviews", "1", "mine")
    (event,) = server.store.ledger.events(call_id=said["parameters"]["prediction_id"])
    assert (event.kind, event.amount, event.endpoint) == ("charge", 7500, "reviews")
    logged = server.store.ledger.prediction(said["parameters"]["prediction_id"], 1)
    assert logged.input == "broken"
    assert logged.label == labels[1]


def test_all_scores_as_a_matrix(
    oip: triton.InferenceServerClient, headers: dict[str, str], server: Answering
) -> None:
    expected = server.predict(TEXTS, model="reviews", all_scores=True).json()["outputs"]
    wanted = [triton.InferRequestedOutput(name) for name in ("scores", "labels")]
    asked = oip.infer("reviews", [tensor(TEXTS, binary=True)], outputs=wanted, headers=headers)
    told = oip.infer(
        "reviews",
        [tensor(TEXTS, binary=True)],
        headers=headers,
        parameters={"all_scores": True},
    )
    for result in (asked, told):
        names = [name.decode() for name in result.as_numpy("labels")]
        matrix = result.as_numpy("scores")
        assert matrix.shape == (len(TEXTS), 2)
        rows = [[output["scores"][name] for name in names] for output in expected]
        np.testing.assert_allclose(matrix, rows, atol=1e-6)
    assert asked.as_numpy("label") is None
    assert told.as_numpy("label") is not None


def test_pictures(
    oip: triton.InferenceServerClient, headers: dict[str, str], server: Answering
) -> None:
    pictures = tasks.get("image-classification").example_items()
    made = tensor(list(pictures), binary=True, name="image")
    result = oip.infer("pictures", [made], headers=headers)
    encoded = [base64.b64encode(one).decode() for one in pictures if isinstance(one, bytes)]
    told = server.http.post(
        "/v1/predict", json={"model": "pictures", "inputs": [{"$base64": one} for one in encoded]}
    ).json()["outputs"]
    assert [v.decode() for v in result.as_numpy("label")] == [output["label"] for output in told]
    in_json = {"name": "image", "datatype": "BYTES", "shape": [len(encoded), 1]}
    body = infer(server, "pictures", inputs=[{**in_json, "data": [[one] for one in encoded]}])
    assert body.json()["outputs"][0]["data"] == [output["label"] for output in told]


def test_a_picture_that_proves_damaged_is_named_and_costs_nothing(server: Answering) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    whole = buffer.getvalue()
    inputs = [{"$base64": base64.b64encode(one).decode()} for one in (whole, whole[:-900], whole)]
    before = sum(1 for _ in server.store.ledger.events())
    told = server.http.post("/v1/predict", json={"model": "pictures", "inputs": inputs})
    assert told.status_code == 422
    error = told.json()["error"]
    assert (error["code"], error["param"]) == ("tasks.damaged_image", "inputs[1]")
    assert sum(1 for _ in server.store.ledger.events()) == before


def test_answers_that_are_left_to_people_say_so(server: Answering) -> None:
    body = infer(server, "careful", inputs=[words(["great love", ""])]).json()
    outputs = {output["name"]: output for output in body["outputs"]}
    assert outputs["abstained"]["datatype"] == "BOOL"
    assert outputs["abstained"]["data"] == [False, True]


def test_feedback_takes_its_id(server: Answering) -> None:
    said = infer(server, inputs=[words(["great", "great"])]).json()["parameters"]["prediction_id"]
    body = {"prediction_id": said, "index": 1, "label": "bad"}
    assert server.http.post("/v1/feedback", json=body).status_code == 200


def test_sent_again_it_is_answered_alike_and_charged_once(server: Answering) -> None:
    """Also where the answer has binary data, whose headers must come again."""
    head = {"idempotency-key": "once-and-only"}
    body = {"inputs": [words(TEXTS)], "parameters": {"binary_data_output": True}}
    first, second = (
        server.http.post("/v2/models/reviews/infer", json=body, headers=head) for _ in range(2)
    )
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    for answer in (first, second):
        length = int(answer.headers["inference-header-content-length"])
        assert answer.headers["content-type"] == "application/octet-stream"
        said = json.loads(answer.content[:length])
        sizes = [output["parameters"]["binary_data_size"] for output in said["outputs"]]
        assert length + sum(sizes) == len(answer.content)
    (event,) = server.store.ledger.events(call_id=said["parameters"]["prediction_id"])
    assert event.amount == 7500


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "text"),
        ({"inputs": [words(["a"], name="texts")]}, "texts"),
        ({"inputs": [words(["a"]), words(["b"])]}, "text"),
        ({"inputs": [words(["a"], datatype="FP32")]}, "BYTES"),
        ({"inputs": [words(["a"], shape=[2])]}, "[2]"),
        ({"inputs": [words(["a"], shape=[])]}, "[]"),
        ({"inputs": [words(["a"], shape=[-1])]}, "[-1]"),
        ({"inputs": [words(["a", "b", "c", "d"], shape=[2, 2])]}, "[2, 2]"),
        ({"inputs": [words(["a"], data=[["a"]])]}, "nested"),
        ({"inputs": [words(["a"], data=[1])]}, "string"),
        ({"inputs": [words(["a"], data=None)]}, "elements"),
        ({"inputs": [words([])]}, "empty"),
        ({"inputs": [words(["a"] * 513)]}, "512"),
        ({"inputs": [words(["a"], parameters={"shared_memory_region": "x"})]}, "shared_memory"),
        ({"inputs": [words(["a"], parameters={"binary_data_size": 4})]}, "binary"),
        ({"inputs": [words(["a"])], "outputs": [{"name": "logits"}]}, "logits"),
        ({"inputs": [words(["a"])], "parameters": {"priority": 1}}, "priority"),
        (
            {
                "inputs": [words(["a"])],
                "outputs": [{"name": "label", "parameters": {"classification": 2}}],
            },
            "classification",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_its_own_shape(
    server: Answering, body: dict[str, Any], said: str
) -> None:
    before = server.store.ledger.counts()["events"]
    refused = infer(server, **body)
    assert 400 <= refused.status_code < 500
    assert list(refused.json()) == ["error"]
    assert said in refused.json()["error"]
    assert server.store.ledger.counts()["events"] == before


@pytest.mark.parametrize(
    ("length", "size", "data"),
    [
        ("x", 5, b"\x01\x00\x00\x00a"),
        ("99999", 5, b"\x01\x00\x00\x00a"),
        (None, 5, b"\xff\x00\x00\x00a"),  # an element longer than the tensor
        (None, 5, b"\x01\x00\x00\x00\xff"),  # not UTF-8
        (None, 3, b"\x01\x00\x00"),
        (None, 6, b"\x01\x00\x00\x00a"),  # announces more than there is
        (None, 5, b"\x01\x00\x00\x00ab"),  # a byte that belongs to nobody
        (None, -1, b"\x01\x00\x00\x00a"),
        (None, 10, b"\x01\x00\x00\x00a\x01\x00\x00\x00b"),  # two elements, shape of one
    ],
)
def test_binary_data_that_does_not_fit(
    server: Answering, length: str | None, size: int, data: bytes
) -> None:
    head = {"name": "text", "datatype": "BYTES", "shape": [1]}
    text = json.dumps({"inputs": [{**head, "parameters": {"binary_data_size": size}}]}).encode()
    refused = server.http.post(
        "/v2/models/reviews/infer",
        content=text + data,
        headers={"inference-header-content-length": length or str(len(text))},
    )
    assert refused.status_code in (400, 422)
    assert list(refused.json()) == ["error"]


def test_its_own_exception_says_why(
    oip: triton.InferenceServerClient, headers: dict[str, str], server: Answering
) -> None:
    with pytest.raises(InferenceServerException, match="no model 'nope'"):
        oip.infer("nope", [tensor(["a"], binary=True)], headers=headers)
    with pytest.raises(InferenceServerException) as caught:
        oip.infer("reviews", [tensor(["a"], binary=True)])
    assert caught.value.status() == "401"
    with pytest.raises(InferenceServerException, match="config"):
        oip.get_model_config("reviews", headers=headers)


def test_without_a_key_only_the_health_is_told(server: Answering) -> None:
    with client(server.address) as http:
        for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
            assert http.get(path).status_code == 200
        for path in ("", "/ready", "/versions/1", "/versions/1/ready"):
            refused = http.get(f"/v2/models/reviews{path}")
            assert refused.status_code == 401
            assert list(refused.json()) == ["error"]


def test_a_key_for_one_project_sees_no_other(server: Answering) -> None:
    key = make_key(server.store, "Narrow", project="pictures")
    with client(server.address, key.secret) as http:
        assert http.get("/v2/models/pictures").status_code == 200
        for path in ("reviews", "reviews/versions/1", "reviews/ready"):
            assert http.get(f"/v2/models/{path}").status_code == 404
        asked = http.post("/v2/models/reviews/infer", json={"inputs": [words(["a"])]})
        assert asked.status_code == 404


def test_in_chinese(server: Answering) -> None:
    body = {"inputs": [words(["a"], name="texts")]}
    refused = server.http.post(
        "/v2/models/reviews/infer", json=body, headers={"accept-language": "zh"}
    )
    assert "张量" in refused.json()["error"]
