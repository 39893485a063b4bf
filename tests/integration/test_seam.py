"""Tasks of another distribution, each one file, go round the whole wheel without a change here.

`tests/toys/toy_tasks` brings a text that becomes a number and a picture that becomes a box, the
latter with a family, a method and an engine of its own. They are found by their entry points.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POINTS = """
[feilun.tasks]
toy-ratings = toy_tasks.ratings
toy-spots = toy_tasks.spots
[feilun.methods]
spots = toy_tasks.spots
[feilun.engines]
spots = toy_tasks.spots
"""
WORDS = {"awful": 1, "poor": 2, "fair": 3, "good": 4, "lovely": 5}
SERVE = """
import json, sys
import httpx
from feilun.project import Workspace
from feilun.serving.process import temporary_server

asked, correction = json.loads(sys.argv[2]), json.loads(sys.argv[3])
with Workspace(".") as workspace, temporary_server(workspace.folder, workspace.settings) as address:
    headers = {"Authorization": f"Bearer {workspace.create_key('Ada').secret}"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
        said = []
        for number, item in enumerate(asked):
            answer = http.post("/v1/predict", json={"model": sys.argv[1], "inputs": [item]}).json()
            said.append(answer["outputs"][0])
            body = {"prediction_id": answer["id"], "label": correction}
            assert http.post("/v1/feedback", json=body).status_code == 200, number
        usage = http.get("/v1/usage").json()
        titles = list(http.get("/openapi.json").json()["components"]["schemas"])
print(json.dumps({"said": said, "usage": usage, "titles": titles}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path that holds what an installed distribution would leave there."""
    folder = tmp_path_factory.mktemp("site")
    about = folder / "toy_tasks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tasks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


def _python(site: Path, cwd: Path, *words: str) -> str:
    path = os.pathsep.join([str(site), str(ROOT / "tests" / "toys"), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "FEILUN_LANG": "en"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _feilun(site: Path, cwd: Path, *words: str) -> str:
    return _python(site, cwd, "-m", "feilun", *words)


def _ratings(folder: Path) -> Path:
    draw = random.Random(0)
    path = folder / "ratings.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "stars"))
        for number in range(240):
            word, stars = draw.choice(list(WORDS.items()))
            text = f"the {draw.choice(['tea', 'soap', 'lamp'])} number {number} is {word}"
            writer.writerow((text, stars + draw.choice([0, 0.5])))
    return path


def _spots(folder: Path) -> Path:
    from PIL import Image

    draw = random.Random(0)
    path = folder / "spots.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "box"))
        for number in range(60):
            left, top = draw.randrange(20), draw.randrange(20)
            image = Image.new("L", (32, 32), draw.randrange(30))
            image.paste(200 + draw.randrange(50), (left, top, left + 8, top + 6))
            image.save(folder / f"{number}.png")
            writer.writerow((f"{number}.png", json.dumps([left, top, left + 8, top + 6])))
    return path


def test_a_text_becomes_a_number(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "stars", "--task", "toy-ratings")
    _feilun(site, tmp_path, "data", "add", str(_ratings(tmp_path)))
    _feilun(site, tmp_path, "run", "--method", "linear")
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["r2"]["low"] > 0.5
    items = [f"the lamp number {n} is lovely" for n in range(21)]
    script = tmp_path / "serve.py"
    script.write_text(SERVE, "utf-8")
    done = _python(site, tmp_path, str(script), "stars", json.dumps(items), "5")
    found = json.loads(done.splitlines()[-1])
    assert found["said"][0]["value"] > 3.5
    assert "ToyRatingsInput" in found["titles"]
    turned = json.loads(_feilun(site, tmp_path, "update", "--json"))
    assert turned["rungs"]


def test_a_picture_becomes_a_box(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "spots", "--task", "toy-spots")
    _feilun(site, tmp_path, "data", "add", str(_spots(tmp_path)))
    turned = json.loads(_feilun(site, tmp_path, "run", "--json"))
    assert [rung["method"] for rung in turned["rungs"]] == ["spots"]
    assert turned["rungs"][0]["promoted"]
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["iou"]["value"] > 0.9
    assert "iou" in _feilun(site, tmp_path, "evaluate")
    said = json.loads(_feilun(site, tmp_path, "predict", str(tmp_path / "0.png"), "--json"))
    assert len(said["outputs"][0]["box"]) == 4
    pictures = [(tmp_path / f"{number}.png").read_bytes() for number in range(2)]
    items = [{"$base64": base64.b64encode(picture).decode()} for picture in pictures]
    script = tmp_path / "serve.py"
    script.write_text(SERVE, "utf-8")
    done = _python(site, tmp_path, str(script), "spots", json.dumps(items), '"[1, 2, 9, 8]"')
    found = json.loads(done.splitlines()[-1])
    assert found["said"][0] == said["outputs"][0]
    assert "ToySpotsOutput" in found["titles"]


@pytest.mark.parametrize("name", ["toy-ratings", "toy-spots"])
def test_they_are_offered_and_described(site: Path, tmp_path: Path, name: str) -> None:
    shown = _feilun(site, tmp_path, "init", "--help")
    assert name in "".join(shown.split())  # lines may end inside a name
    reference = str(ROOT / "scripts" / "reference.py")
    assert name in _python(site, tmp_path, reference, "--print", "tasks")


@pytest.mark.parametrize(
    ("file", "chosen"), [("test_families.py", "numbers or boxes"), ("test_tasks.py", "toy")]
)
def test_contract_tests_run_over_them(site: Path, file: str, chosen: str) -> None:
    tests = str(ROOT / "tests" / "contract" / file)
    said = _python(site, ROOT, "-m", "pytest", tests, "-q", "-k", chosen, "-p", "no:cacheprovider")
    assert " passed" in said
