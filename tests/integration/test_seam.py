"""Tasks of another distribution, each one file, go round the whole wheel without a change here.

`tests/toys/toy_tasks` brings a text that becomes a number, a text in which pieces are found (with a
method and an engine of its own), a picture that becomes a box (with a family, too) and a text that
becomes another one, written token by token. They are found by their entry points.
"""

from __future__ import annotations

import base64
import csv
import html
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers import forked
from helpers.toys import environment, write_site

ROOT = Path(__file__).parents[2]
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
        answer = http.post("/v1/predict", json={"model": sys.argv[1], "inputs": asked}).json()
        said = answer["outputs"]
        for number in range(21):
            body = {"prediction_id": answer["id"], "index": number, "label": correction}
            assert http.post("/v1/feedback", json=body).status_code == 200, number
        usage = http.get("/v1/usage").json()
        titles = list(http.get("/openapi.json").json()["components"]["schemas"])
print(json.dumps({"said": said, "usage": usage, "titles": titles}))
"""
STREAM = """
import json, subprocess, sys, time
from datetime import UTC, datetime, timedelta
import httpx
from feilun.billing.holds import release_expired
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.project import Workspace
from feilun.serving.process import temporary_server
from helpers.console import console
from helpers.forked import Forked

plan = {"currency": "EUR", "rates": [
    {"unit": "tokens_in", "tiers": [{"per_1000": "1.00"}]},
    {"unit": "tokens_out", "tiers": [{"per_1000": "5.00"}]},
]}

def pieces(http, text, most=None):
    body = {"model": "glossary", "inputs": text, "stream": True}
    got = []
    with http.stream("POST", "/v1/predict", json=body) as answer:
        status, kind = answer.status_code, answer.headers["content-type"]
        for line in answer.iter_lines():
            if line.startswith("data: "):
                got.append(line[6:])
                if most is not None and len(got) == most:
                    break
    return {"status": status, "kind": kind, "got": got, "held": len(ledger.holds())}

def settled(calls):
    until = time.monotonic() + 60
    while True:
        events = [one for one in ledger.events() if one.project == "glossary"]
        done = [one for one in events if one.kind in ("settle", "release")]
        if len(done) == calls:
            return done[-1]
        assert time.monotonic() < until, events
        time.sleep(0.02)

workspace = Workspace(".")
ledger, catalog = workspace.store.ledger, workspace.store.catalog
set_plan(catalog, "tokens", parse_plan(plan, "here"))
key = workspace.create_key("Ada")
subscribe(catalog, next(one.id for one in catalog.customers() if one.name == "Ada"), "tokens")
with workspace, temporary_server(workspace.folder, workspace.settings) as address:
    found = []
    headers = {"Authorization": f"Bearer {key.secret}"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=30) as http:
        for number, (text, most) in enumerate(json.loads(sys.argv[1]), 1):
            one = pieces(http, text, most)
            end = settled(number)
            held = [e for e in ledger.events() if e.call_id == end.call_id and e.kind == "hold"]
            found.append({**one, "kind_of_end": end.kind, "outcome": end.outcome,
                          "units": dict(end.units), "amount": end.amount,
                          "most": held[0].amount, "open": len(ledger.holds())})
        usage = http.get("/v1/usage").json()
    with console(workspace) as served, served.signed_in("owner") as http:
        text = workspace.project("glossary").model().inputs()[0][0]
        told = http.post("/p/glossary/try/stream", data={f"in:{text}": "good tea and lamp"}).text
        shown = [json.loads(one[6:]) for one in told.splitlines() if one]

    words = [sys.executable, "-m", "feilun.api", "."]
    with Forked(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        address = json.loads(child.stdout.readline())["address"]
        body = {"model": "glossary", "inputs": "slow " + "tea " * 300, "stream": True}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            with http.stream("POST", "/v1/predict", json=body) as answer:
                next(answer.iter_lines())
                (hold,) = ledger.holds()
                child.kill()
                child.wait()
    killed = {"standing": ledger.holds() == [hold], "early": release_expired(ledger),
              "late": release_expired(ledger, datetime.now(UTC) + timedelta(hours=1)),
              "events": [(e.kind, e.amount) for e in ledger.events(call_id=hold.call_id)],
              "left": len(ledger.holds()), "sound": not ledger.verify().faults}
print(json.dumps({"streams": found, "usage": usage, "killed": killed, "console": shown}))
"""


CONSOLE = """
import json, re, sys
from pathlib import Path
from feilun.project import Workspace
from feilun.store.ledger_records import Prediction
from helpers.console import console

name, given, right = sys.argv[1:]
with Workspace(".") as workspace, console(workspace) as served, served.signed_in("owner") as http:
    project = workspace.project(name)
    kind = project.model().inputs()[0][1]
    item = Path(given).read_bytes() if kind == "image" else given
    output = project.predict([item]).outputs[0]
    said = project.task.family.said(output)
    answer = Prediction("c1", 0, item, output, said, None, None, f"{name}@1", name, "ada")
    workspace.store.ledger.commit([], [answer])
    for page in ("", "/data", "/runs", "/versions", f"/versions/{name}@1", "/try", "/review"):
        shown = http.get(f"/p/{name}{page}")
        assert shown.status_code == 200, (page, shown.text)
    form = {"files": {"file": ("a.png", item)}} if kind == "image" else {
        "data": {f"in:{project.model().inputs()[0][0]}": item}
    }
    asked = http.post(f"/p/{name}/try", **form)
    http.post(f"/p/{name}/review", data={"id": "c1", "index": "0", "label": right})
    labels = [one.label for one in workspace.store.ledger.feedback_of("c1", 0)]
print(json.dumps({"asked": asked.text, "said": said, "offered": shown.text, "labels": labels}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path that holds what an installed distribution would leave there."""
    return write_site(tmp_path_factory.mktemp("site"))


def _python(site: Path, cwd: Path, *words: str, ends: tuple[int, ...] = (0,)) -> str:
    done = forked.python(*words, cwd=cwd, env=environment(site))
    assert done.returncode in ends, done.stdout + done.stderr
    return done.stdout


def _feilun(site: Path, cwd: Path, *words: str, ends: tuple[int, ...] = (0,)) -> str:
    return _python(site, cwd, "-m", "feilun", *words, ends=ends)


def _console(site: Path, folder: Path, *words: str) -> dict[str, Any]:
    """What the console shows of a project, and what became of a correction there."""
    script = folder / "console.py"
    script.write_text(CONSOLE, "utf-8")
    found: dict[str, Any] = json.loads(_python(site, folder, str(script), *words).splitlines()[-1])
    assert 'name="id"' in found["offered"]
    return found


def _served(
    site: Path, folder: Path, name: str, asked: Sequence[object], correction: str
) -> dict[str, Any]:
    """What a server answers to `asked`, of which the first 21 are corrected; beside it, under
    ``drift``, what a look at drift finds. The others wait for a review, and the version has its
    variant, as those of other tasks."""
    script = folder / "serve.py"
    script.write_text(SERVE, "utf-8")
    said = _python(site, folder, str(script), name, json.dumps(asked), correction)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    found["drift"] = json.loads(_feilun(site, folder, "drift", "--json"))
    assert found["drift"]["found"]["current"] >= len(asked)
    assert json.loads(_feilun(site, folder, "review", "--json"))["queue"]
    assert json.loads(_feilun(site, folder, "compress", "--json"))["variants"]
    return found


def _ratings(folder: Path) -> Path:
    draw = random.Random(0)
    path = folder / "ratings.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "stars"))
        for number in range(300):
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
        for number in range(90):
            left, top = draw.randrange(20), draw.randrange(20)
            image = Image.new("L", (32, 32), draw.randrange(30))
            image.paste(200 + draw.randrange(50), (left, top, left + 8, top + 6))
            image.save(folder / f"{number}.png")
            writer.writerow((f"{number}.png", json.dumps([left, top, left + 8, top + 6])))
    return path


@pytest.mark.slow
def test_a_text_becomes_a_number(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "stars", "--task", "toy-ratings")
    _feilun(site, tmp_path, "data", "add", str(_ratings(tmp_path)))
    _feilun(site, tmp_path, "run", "--method", "linear")
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["r2"]["low"] > 0.5
    shown = _console(site, tmp_path, "stars", "the soap is lovely", "2.5")
    assert shown["labels"] == ["2.5"]
    assert html.escape(shown["said"]) in shown["asked"]
    draw = random.Random(2)
    items = ["the lamp number 7 is lovely"]
    for number in draw.sample(range(300), 60):
        thing, word = draw.choice(["tea", "soap", "lamp"]), draw.choice(list(WORDS))
        items.append(f"the {thing} number {number} is {word}")
    found = _served(site, tmp_path, "stars", items, "5")
    assert found["said"][0]["value"] > 3.5
    assert not found["drift"]["alarm"], found["drift"]
    assert "ToyRatingsInput" in found["titles"]
    # Not all corrections were right: what learns them may be held back.
    turned = json.loads(_feilun(site, tmp_path, "update", "--json", ends=(0, 1)))
    assert turned["data_version"] == "stars:2"
    assert turned["stages"]


def _codes(folder: Path) -> Path:
    draw = random.Random(0)
    path = folder / "codes.jsonl"
    lines = []
    for number in range(120):
        code, weight = f"AB-{draw.randrange(1000, 10_000)}", f"{draw.randrange(1, 9)} kg"
        before = draw.choice(["Order ", "Where is ", "订单 "])
        text = f"{before}{code} number {number} weighs {weight}."
        spans = [[len(before), len(before) + len(code), "ORDER"]]
        spans.append([len(text) - 1 - len(weight), len(text) - 1, "WEIGHT"])
        lines.append({"text": text, "codes": spans if number % 4 else spans[:1]})
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


@pytest.mark.slow
def test_pieces_of_a_text_are_found(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "codes", "--task", "toy-codes")
    _feilun(site, tmp_path, "data", "add", str(_codes(tmp_path)))
    turned = json.loads(_feilun(site, tmp_path, "run", "--json"))
    assert [stage["method"] for stage in turned["stages"]] == ["codes", "crf"]
    assert turned["stages"][0]["promoted"]
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["f1"]["low"] > 0.7
    right = [{"start": 0, "end": 5, "label": "ORDER"}]
    shown = _console(site, tmp_path, "codes", "Order AB-9999, 3 kg.", json.dumps(right))
    assert [json.loads(one) for one in shown["labels"]] == [right]
    items = [f"Number {n}: parcel PX-{n + 100} is lost, as is AB-12{n}." for n in range(60)]
    place = items[0].index("PX")
    right = [{"start": place, "end": place + 6, "label": "PARCEL"}]
    found = _served(site, tmp_path, "codes", items, json.dumps(right))
    assert "ToyCodesOutput" in found["titles"]
    words = [one["word"] for one in found["said"][10]["entities"]]
    assert words == ["AB-1210"]
    assert found["drift"]["alarm"]  # of parcels no row has spoken yet
    turned = json.loads(_feilun(site, tmp_path, "update", "--json", ends=(0, 1)))
    assert turned["data_version"] == "codes:2"


@pytest.mark.slow
def test_a_picture_becomes_a_box(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "spots", "--task", "toy-spots")
    _feilun(site, tmp_path, "data", "add", str(_spots(tmp_path)))
    turned = json.loads(_feilun(site, tmp_path, "run", "--json"))
    assert [stage["method"] for stage in turned["stages"]] == ["spots"]
    assert turned["stages"][0]["promoted"]
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["iou"]["value"] > 0.9
    assert "iou" in _feilun(site, tmp_path, "evaluate")
    said = json.loads(_feilun(site, tmp_path, "predict", str(tmp_path / "0.png"), "--json"))
    assert len(said["outputs"][0]["box"]) == 4
    shown = _console(site, tmp_path, "spots", str(tmp_path / "0.png"), "[3, 4, 11, 10]")
    assert [json.loads(one) for one in shown["labels"]] == [[3, 4, 11, 10]]
    assert "data:image/png;base64," in shown["offered"]
    left, top, right, bottom = said["outputs"][0]["box"]
    sides = f'x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"'
    assert f'class="box" {sides}' in shown["asked"]
    pictures = [(tmp_path / f"{number}.png").read_bytes() for number in range(60)]
    items = [{"$base64": base64.b64encode(picture).decode()} for picture in pictures]
    found = _served(site, tmp_path, "spots", items, '"[1, 2, 9, 8]"')
    assert found["said"][0] == said["outputs"][0]
    assert "ToySpotsOutput" in found["titles"]


def _glossary(folder: Path) -> Path:
    words = {"good": "gut", "tea": "Tee", "lamp": "Lampe", "old": "alt", "and": "und", "is": "ist"}
    draw = random.Random(0)
    path = folder / "glossary.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "translation"))
        for _ in range(120):
            drawn = draw.choices(list(words), k=draw.randrange(3, 7))
            writer.writerow((" ".join(drawn), " ".join(words[word] for word in drawn)))
    return path


@pytest.mark.slow
def test_a_text_becomes_another_token_by_token(site: Path, tmp_path: Path) -> None:
    _feilun(site, tmp_path, "init", "glossary", "--task", "toy-glossary")
    _feilun(site, tmp_path, "data", "add", str(_glossary(tmp_path)))
    turned = json.loads(_feilun(site, tmp_path, "run", "--json"))
    assert [stage["method"] for stage in turned["stages"]] == ["glossary"]
    assert turned["stages"][0]["promoted"]
    judged = json.loads(_feilun(site, tmp_path, "evaluate", "--json"))
    assert judged["metrics"]["exact_match"]["value"] > 0.9
    assert judged["metrics"]["chrf"]["low"] > 0.9

    shown = _console(site, tmp_path, "glossary", "old tea", "alter Tee")
    assert (shown["said"], shown["labels"]) == ("alt Tee", ["alter Tee"])
    assert "alt Tee" in shown["asked"]
    asked = [f"cup {number}" for number in range(60)]  # a word that it does not know
    found = _served(site, tmp_path, "glossary", asked, '"Tasse"')
    assert found["said"][0] == {"generated_text": "cup 0"}
    assert "ToyGlossaryOutput" in found["titles"]
    # Corrections are learnt, and judge nothing: on the rows that do, there is nothing to gain.
    turned = json.loads(_feilun(site, tmp_path, "update", "--json", ends=(0, 1)))
    assert (turned["data_version"], turned["stages"][0]["verdict"]) == ("glossary:2", "equal")

    long = "slow " + "tea " * 300
    streams = [("good tea and lamp", None), (long, 5), ("good old crash tea", None)]
    streams += [("crash", None), ("x " * 500, None)]
    script = tmp_path / "stream.py"
    script.write_text(STREAM, "utf-8")
    said = json.loads(_python(site, tmp_path, str(script), json.dumps(streams)).splitlines()[-1])
    whole, left, died, stillborn, cut = said["streams"]

    assert whole["kind"] == "text/event-stream; charset=utf-8"
    *deltas, last, end = whole["got"]
    assert [json.loads(one)["delta"] for one in deltas] == ["gut", " Tee", " und", " Lampe"]
    assert json.loads(last)["outputs"] == [{"generated_text": "gut Tee und Lampe"}]
    assert json.loads(last)["usage"] == {"inputs": 1, "tokens_in": 4, "tokens_out": 4}
    assert end == "[DONE]"
    assert (whole["kind_of_end"], whole["outcome"]) == ("settle", "ok")
    assert whole["amount"] == 4 * 1000 + 4 * 5000
    assert whole["most"] >= 4 * 1000 + 400 * 5000  # all that it could have come to

    # One that vanished is charged for what had left, and the engine went no further.
    assert (left["kind_of_end"], left["outcome"]) == ("settle", "disconnected")
    assert 5 <= left["units"]["tokens_out"] < 100
    assert left["amount"] == 301 * 1000 + left["units"]["tokens_out"] * 5000

    # Where the engine died the two words before are charged, and no input.
    assert json.loads(died["got"][-1])["error"]["code"] == "api.internal"
    assert (died["kind_of_end"], died["units"]["tokens_out"]) == ("settle", 2)
    assert died["units"].get("inputs", 0) == 0
    assert died["amount"] == 4 * 1000 + 2 * 5000
    *deltas, last = said["console"]
    assert [one["text"] for one in deltas] == ["gut", " Tee", " und", " Lampe"]
    assert "gut Tee und Lampe" in last["html"]
    assert (stillborn["status"], stillborn["kind_of_end"]) == (500, "release")
    assert stillborn["amount"] == -stillborn["most"]
    assert json.loads(cut["got"][-2])["outputs"][0]["finish_reason"] == "length"
    assert cut["units"]["tokens_out"] == 400

    assert all(one["open"] == 0 for one in said["streams"])
    total = sum(one["amount"] for one in said["streams"] if one["kind_of_end"] == "settle")
    assert float(said["usage"]["total"][0]["amount"]) == pytest.approx(total / 1e6)

    # Of a server that was killed nobody knows what arrived: its hold ends by itself, unpaid.
    killed = said["killed"]
    assert (killed["standing"], killed["early"], killed["late"]) == (True, 0, 1)
    (held, most), (released, back) = killed["events"]
    assert (held, released, most + back) == ("hold", "release", 0)
    assert (killed["left"], killed["sound"]) == (0, True)


LEARN = """
import csv, json
from dataclasses import replace
from pathlib import Path
from feilun.engines.base import open_engine
from feilun.families.numbers import NUMBERS
from feilun.metrics.comparison import values
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.types import Example, Schema
from helpers.bert import write_bert
from helpers.jobs import job_for, train

rows = list(csv.reader(open("ratings.csv")))[1:]
base, folder = write_bert(Path("base"), texts=[text for text, _ in rows]), Path("data")
with DatasetWriter(folder, {"text": "text"}, NUMBERS.stratum) as writer:
    for place, (text, stars) in enumerate(rows):
        split = ("train", "train", "train", "validation", "test")[place % 5]
        writer.add(Example(str(place), text, NUMBERS.target(stars), split))
    writer.close(Schema("toy-ratings", (), {"max_length": 16}))
fast = {"epochs": 20, "learning_rate": 5e-3, "batch_rows": 16, "patience": 20}
job = replace(job_for("full", folder, Path("job"), base, settings=fast), task="toy-ratings")
figures = train(job).figures
data, engine = Dataset(folder), open_engine(job.out, threads=1)
truth = NUMBERS.truth(data.values("label", "test"), ())
raw = engine.raw(data.items("test"))
print(json.dumps({"r2": values(NUMBERS.measured(truth, raw, (), {}))["r2"], "while": figures}))
"""


@pytest.mark.slow
def test_gradients_learn_what_a_toy_answers(site: Path, tmp_path: Path) -> None:
    """Somebody else's task of numbers: the trainer knows no more of it than of classes."""
    _ratings(tmp_path)
    script = tmp_path / "learn.py"
    script.write_text(LEARN, "utf-8")
    found = json.loads(_python(site, tmp_path, str(script)).splitlines()[-1])
    assert found["r2"] > 0.5
    assert found["while"]["validation_r2"] > 0.5


@pytest.mark.parametrize("name", ["toy-ratings", "toy-codes", "toy-spots", "toy-glossary"])
def test_they_are_offered_and_described(site: Path, tmp_path: Path, name: str) -> None:
    shown = _feilun(site, tmp_path, "init", "--help")
    assert name in "".join(shown.split())  # lines may end inside a name
    reference = str(ROOT / "scripts" / "reference.py")
    assert name in _python(site, tmp_path, reference, "--print", "tasks")


@pytest.mark.parametrize(
    ("file", "chosen"),
    [("test_families.py", "numbers or spans or boxes or generation"), ("test_tasks.py", "toy")],
)
def test_contract_tests_run_over_them(site: Path, file: str, chosen: str) -> None:
    tests = str(ROOT / "tests" / "contract" / file)
    said = _python(site, ROOT, "-m", "pytest", tests, "-q", "-k", chosen, "-p", "no:cacheprovider")
    assert " passed" in said
