"""What a workspace of an earlier version answers, told so that two versions can be compared."""

from __future__ import annotations

import base64
import json
import math
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from threadpoolctl import threadpool_info

from feilun.engines.base import open_engine
from feilun.project import Model, Workspace
from feilun.project.ledger_book import verify
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from helpers.cli import feilun_json
from helpers.serving import client, serving

__all__ = [
    "GOLDEN",
    "WORKSPACE",
    "differences",
    "items",
    "kernels",
    "learnt",
    "look",
    "stored_report",
    "unpack",
    "update",
]

WORKSPACE = "workspace.tar.gz"
GOLDEN = "golden.json"

TEXTS = [
    "the tea is lovely, will order again",
    "cups arrived broken",
    "杯子碎了，要求退款",
    "茶是哪里产的？",
    "面包新鲜",
    "",
    "nothing of all this",
    "is the lamp awful?",
]

REPORT = ("evaluation", "decision", "robustness")

SCHEMAS = (
    "Error",
    "FeedbackBody",
    "ImageClassificationInput",
    "ImageClassificationOutput",
    "TextClassificationInput",
    "TextClassificationOutput",
)
"""Those that further tasks leave alone."""

VOLATILE = frozenset(
    {"id", "prediction_id", "request_id", "created", "created_at", "folder", "report", "run"}
    | {"started", "seconds", "pid", "at", "key_id", "call_id"}
    | {"spent", "used"}
)
"""Names whose values differ from one run to the next: ids, times, paths, sums of this month."""


def plain(value: Any) -> Any:
    """`value` as JSON has it, without what is `VOLATILE`."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def shape(schema: Any) -> Any:
    """A JSON schema without its words."""
    if isinstance(schema, Mapping):
        return {
            key: shape(one)
            for key, one in schema.items()
            if key not in ("title", "description", "summary", "example", "examples")
        }
    return [shape(one) for one in schema] if isinstance(schema, list) else schema


def differences(said: Any, found: Any, tolerance: float, where: str = "") -> list[str]:
    """Where `found` is not what was `said`. More names than were said are no difference: a later
    version may tell more. Numbers may differ by `tolerance`, relative and absolute."""
    return list(_differences(said, found, tolerance, where))


def _differences(said: Any, found: Any, tolerance: float, where: str) -> Iterator[str]:
    if isinstance(said, dict) and isinstance(found, dict):
        for key, value in said.items():
            if key in found:
                yield from _differences(value, found[key], tolerance, f"{where}/{key}")
            else:
                yield f"{where}/{key}: gone"
    elif where.endswith("/anyOf") and isinstance(said, list) and isinstance(found, list):
        # A later version may take more forms, never fewer.
        yield from (f"{where}: {one!r} is gone" for one in said if one not in found)
    elif where.endswith("/falls") and isinstance(said, list) and isinstance(found, list):
        # A later version may try more changes of the rows.
        named = {one["name"]: one for one in found}
        for one in said:
            yield from _differences(
                one, named.get(one["name"]), tolerance, f"{where}/{one['name']}"
            )
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for place, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from _differences(one, other, tolerance, f"{where}/{place}")
    elif not _equal(said, found, tolerance):
        yield f"{where}: {said!r}, now {found!r}"


def _equal(said: Any, found: Any, tolerance: float) -> bool:
    if isinstance(said, float) and isinstance(found, float):
        return math.isclose(said, found, rel_tol=tolerance, abs_tol=tolerance)
    return type(said) is type(found) and said == found


def kernels() -> list[str]:
    """What numpy and its BLAS compute with: where that differs, so do the last bits."""
    np.ones((2, 2)) @ np.ones((2, 2))  # loads it
    loaded = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
    blas = {str(one["architecture"]) for one in loaded}
    config: Any = np.show_config(mode="dicts")
    return [*sorted(blas), *config["SIMD Extensions"]["found"]]


def unpack(archive: Path, folder: Path) -> Path:
    """A workspace for one test."""
    with tarfile.open(archive) as packed:
        # Python before 3.11.4 has no filters.
        how: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(folder, **how)
    return folder


def look(folder: Path, secret: str) -> dict[str, Any]:
    """Everything that is compared; the calls that it makes are in the ledger afterwards."""
    found: dict[str, Any] = {}
    with Workspace(folder) as workspace:
        found["status"] = workspace.status().to_json()
        found["verified"] = verify(workspace.scope).to_json()
        found["money"] = money(workspace)
        for name in ("reviews", "digits"):
            found[name] = versions(workspace, name, items(workspace, name))
        with serving(workspace.store) as server, client(server.address, secret) as http:
            found["api"] = api(http, pictures(workspace.store))
    for project in ("reviews", "digits"):
        found[project]["evaluate"] = feilun_json(
            "evaluate", "live", "--project", project, cwd=folder
        )
    with Workspace(folder) as workspace:
        for project in ("reviews", "digits"):
            record = workspace.project(project).model("live").record
            raw = stored_report(workspace.store, record)
            found[project]["judged"] = {part: raw[part] for part in REPORT}
    made: dict[str, Any] = plain(json.loads(json.dumps(found)))
    return made


def stored_report(store: Store, record: ModelVersion) -> dict[str, Any]:
    """The evaluation of a version as it lies in the store."""
    assert record.report is not None
    raw = (store.artifacts.path(record.report) / "report.json").read_text("utf-8")
    report: dict[str, Any] = json.loads(raw)
    return report


def items(workspace: Workspace, name: str) -> list[Any]:
    """What the versions of a project are asked."""
    return TEXTS if name == "reviews" else list(pictures(workspace.store))


def pictures(store: Store) -> list[bytes]:
    """The first pictures among the rows of `digits`."""
    version = store.catalog.data_versions("digits")[-1]
    held = Dataset(store.artifacts.path(version.artifact)).items("test")[:6]
    return [item for item in held if isinstance(item, bytes)]


def money(workspace: Workspace) -> dict[str, Any]:
    """Usage, invoices and plans."""
    invoices = workspace.invoices.list()
    return {
        "usage": workspace.usage(days=36500).to_json(),
        "invoices": invoices.to_json(),
        "documents": [
            workspace.invoices.show(row["number"], check=True).to_json() for row in invoices.rows
        ],
        "plans": workspace.plans.all().to_json(),
        "customers": workspace.customers.all().to_json(),
        "keys": workspace.keys().to_json(),
    }


def learnt(model: Model, asked: list[Any]) -> dict[str, Any]:
    """What a version answers to `asked`, and how it was measured."""
    artifact = model.record.artifact()
    assert artifact is not None
    engine = open_engine(model.project.workspace.store.artifacts.path(artifact))
    try:
        logits = engine.raw([model.project.task.check(item) for item in asked])
    finally:
        engine.close()
    outputs = model.predict(asked, all_scores=True).outputs
    found: dict[str, Any] = plain(
        {"metrics": model.metrics, "outputs": outputs, "logits": logits.tolist()}
    )
    return found


def update(folder: Path) -> dict[str, Any]:
    """What `reviews` learns from the corrections."""
    with Workspace(folder) as workspace:
        reviews = workspace.project("reviews")
        turned = reviews.update()
        told = {"promoted": turned.promoted, "reason": turned.reason, "data": turned.data_version}
        return {**told, **learnt(reviews.models()[-1], TEXTS)}


def versions(workspace: Workspace, name: str, asked: list[Any]) -> dict[str, Any]:
    """Each version of a project: its card, its answers, its logits, its stored report."""
    project, store = workspace.project(name), workspace.store
    found = {}
    for model in project.models():
        artifact = model.record.artifact()
        assert artifact is not None
        card = (store.artifacts.path(artifact) / "feilun.json").read_text("utf-8")
        found[model.id] = {
            "state": model.state,
            "card": json.loads(card),
            **learnt(model, asked),
        }
    return {"versions": found, "data": project.show(0).to_json()}


def api(http: httpx.Client, images: list[bytes]) -> dict[str, Any]:
    """The answers over HTTP."""
    encoded = [base64.b64encode(one).decode() for one in images]
    usage = http.get("/v1/usage", params={"since": "2020-01-01"}).json()
    predicted = http.post(
        "/v1/predict", json={"model": "reviews", "inputs": TEXTS, "all_scores": True}
    ).json()
    correction = {"prediction_id": predicted["id"], "index": 1, "label": "question"}
    tagged = [{"$base64": one} for one in encoded]
    text = {"name": "text", "datatype": "BYTES", "shape": [len(TEXTS)], "data": TEXTS}
    image = {"name": "image", "datatype": "BYTES", "shape": [len(encoded)], "data": encoded}
    every = {"all_scores": True}
    document = http.get("/openapi.json").json()
    return {
        "predict": predicted,
        "digits": http.post(
            "/v1/predict", json={"model": "digits", "inputs": tagged, "all_scores": True}
        ).json(),
        "feedback": http.post("/v1/feedback", json=correction).json(),
        "unknown": http.post("/v1/predict", json={"model": "none", "inputs": "x"}).json(),
        "models": http.get("/v1/models").json(),
        "model": http.get("/v1/models/reviews").json(),
        "usage": usage,
        "v2": http.get("/v2/models/reviews").json(),
        "v2_texts": http.post(
            "/v2/models/reviews/infer", json={"inputs": [text], "parameters": every}
        ).json(),
        "v2_pictures": http.post(
            "/v2/models/digits/infer", json={"inputs": [image], "parameters": every}
        ).json(),
        "embeddings": http.post("/v1/embeddings", json={"model": "reviews", "input": "tea"}).json(),
        "paths": {path: sorted(one) for path, one in document["paths"].items()},
        "schemas": {name: shape(document["components"]["schemas"][name]) for name in SCHEMAS},
    }
