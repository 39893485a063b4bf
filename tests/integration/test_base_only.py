"""Without torch: an exported version answers in an environment of the base dependencies alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.bert import write_bert
from helpers.cli import feilun_json
from helpers.rows import write_reviews

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that ``scripts/setup.py`` made without extras."""
    venv = tmp_path_factory.mktemp("base-only") / "venv"
    script = ROOT / "scripts" / "setup.py"
    subprocess.run(
        [sys.executable, str(script), "--venv", str(venv), "--extras", "", "--no-compile"],
        check=True,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
    )
    return venv / "bin" / "python"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned version, compressed and exported, on its own in a folder."""
    folder = tmp_path_factory.mktemp("exported")
    base = write_bert(folder / "base")
    feilun_json("init", "reviews", "--base", str(base), cwd=folder)
    write_reviews(folder / "reviews.csv", 150)
    feilun_json("data", "add", "reviews.csv", cwd=folder)
    settings = ["--method", "full", "--set", "training.full.epochs=1"]
    turned = feilun_json("run", *settings, cwd=folder)
    version = turned["stages"][-1]["version"]
    feilun_json("export", version, "out", cwd=folder)
    return folder / "out"


def _run(python: Path, script: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", script],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_exported_version_answers_without_torch(
    python: Path, exported: Path, tmp_path: Path
) -> None:
    script = f"""
import importlib.util, json, sys
assert importlib.util.find_spec("torch") is None
assert importlib.util.find_spec("transformers") is None
from feilun.engines.base import open_engine
from pathlib import Path
engine = open_engine(Path({str(exported)!r}))
print(json.dumps(engine.predict(["lovely tea", "难吃的面包"])))
engine.close()
"""
    outputs = json.loads(_run(python, script, tmp_path))
    assert [set(output) for output in outputs] == [{"label", "score"}] * 2
    about = json.loads((exported / "about.json").read_text("utf-8"))
    assert {output["label"] for output in outputs} <= {"great", "bad"}
    assert about["version"].startswith("reviews@")


def test_exported_version_is_served_over_http(python: Path, exported: Path, tmp_path: Path) -> None:
    """``feilun serve`` on the folder of an exported version, with keys and ledger as ever."""
    script = f"""
import json, threading
from feilun.project import Workspace
from feilun.client import Client
from feilun.serving.process import temporary_server
with Workspace("served") as workspace:
    project = workspace.import_version({str(exported)!r}).project
    key = workspace.create_key("Tester").secret
    with temporary_server(workspace.folder) as address, Client(address, key) as client:
        answer = client.predict(["lovely tea", "难吃的面包"], model=project.name)
        print(json.dumps([answer.model, answer.labels]))
    assert workspace.store.ledger.counts()["events"] == 1
"""
    model, labels = json.loads(_run(python, script, tmp_path))
    assert model == "reviews@1"
    assert len(labels) == 2
