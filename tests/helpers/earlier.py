"""What a workspace of an earlier version answers, told so that two versions can be compared."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from feilun.engines.base import open_engine
from feilun.project import Workspace
from feilun.project.ledger_book import verify
from feilun.store.dataset import Dataset
from feilun.store.records import ModelVersion
from feilun.store.store import Store
from helpers.cli import feilun_json
from helpers.serving import client, serving

__all__ = ["GOLDEN", "WORKSPACE", "look", "plain", "stored_report", "unpack"]

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


def unpack(archive: Path, folder: Path) -> Path:
    """A workspace for one test."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def look(folder: Path, secret: str) -> dict[str, Any]:
    """Everything that is compared; the calls that it makes are in the ledger afterwards."""
    found: dict[str, Any] = {}
    with Workspace(folder) as workspace:
        found["status"] = workspace.status().to_json()
        found["verified"] = verify(workspace).to_json()
        found["money"] = money(workspace)
        found["reviews"] = versions(workspace, "reviews", TEXTS)
        found["digits"] = versions(workspace, "digits", pictures(workspace.store))
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
            found[project]["report"] = {part: raw[part] for part in REPORT}
    made: dict[str, Any] = plain(json.loads(json.dumps(found)))
    return made


def stored_report(store: Store, record: ModelVersion) -> dict[str, Any]:
    """The evaluation of a version as it lies in the store."""
    assert record.report is not None
    raw = (store.artifacts.path(record.report) / "report.json").read_text("utf-8")
    report: dict[str, Any] = json.loads(raw)
    return report


def pictures(store: Store) -> list[bytes]:
    """The first pictures among the rows of `digits`."""
    version = store.catalog.data_versions("digits")[-1]
    items = Dataset(store.artifacts.path(version.artifact)).items("test")[:6]
    return [item for item in items if isinstance(item, bytes)]


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


def versions(workspace: Workspace, name: str, items: list[Any]) -> dict[str, Any]:
    """Each version of a project: its card, its answers, its logits, its stored report."""
    project, store = workspace.project(name), workspace.store
    found = {}
    for model in project.models():
        artifact = model.record.artifact()
        assert artifact is not None
        folder = store.artifacts.path(artifact)
        engine = open_engine(folder)
        try:
            logits = engine.logits([project.task.check(item) for item in items])
        finally:
            engine.close()
        found[model.id] = {
            "state": model.state,
            "metrics": model.metrics,
            "card": json.loads((folder / "feilun.json").read_text("utf-8")),
            "outputs": model.predict(items, all_scores=True).outputs,
            "logits": [[repr(float(one)) for one in row] for row in logits],
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
        "schemas": document["components"]["schemas"],
    }
