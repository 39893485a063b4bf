"""What people type wrong, at the command line: words, the right exit code, nothing lost.

What each kind of bad row does is tested where rows are read; here the whole command is.
"""

from __future__ import annotations

import csv
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feilun.cli.app import run
from feilun.project import Workspace
from helpers.cli import command, environment, feilun, feilun_json
from helpers.forked import Forked
from helpers.rows import reviews, write_reviews


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one data version; no test may change it."""
    folder = tmp_path_factory.mktemp("shop")
    feilun_json("init", "reviews", cwd=folder)
    write_reviews(folder / "reviews.csv", 60)
    feilun_json("data", "add", "reviews.csv", cwd=folder)
    return folder


def _csv(rows: list[tuple[str, ...]]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(rows)

    return write


def _bytes(data: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(data)

    return write


def _parquet(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"review": ["a", "b"], "score": ["x", "y"]}), file)
    file.write_bytes(file.read_bytes()[:-9])


HEAD = ("review", "score")
BAD_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "binary named csv": ("bad.csv", _bytes(bytes(range(256)) * 40)),
    "empty": ("bad.csv", _bytes(b"")),
    "header alone": ("bad.csv", _csv([HEAD])),
    "truncated parquet": ("bad.parquet", _parquet),
    "no label column": ("bad.csv", _csv([("review",), *((text,) for text, _ in reviews(30))])),
    "broken json": ("bad.json", _bytes(b'[{"review": "a", "score": "b"},')),
    "not there": ("missing.csv", lambda file: None),
}


Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Runs a command line in this process, in a folder: its exit code, what it said and what went
    wrong."""

    def typed(*words: str, cwd: Path, lang: str = "en") -> tuple[int, str, str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("FEILUN_LANG", lang)
        capsys.readouterr()
        code = run(list(words))
        return code, *capsys.readouterr()

    return typed


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_changes_nothing(shop: Path, tmp_path: Path, name: str, here: Type) -> None:
    file, write = BAD_FILES[name]
    write(tmp_path / file)
    before = here("data", "show", "--json", cwd=shop)
    assert before[0] == 0
    code, _, wrong = here("data", "add", str(tmp_path / file), cwd=shop)
    assert code == 2, wrong
    assert "Traceback" not in wrong
    assert file in wrong
    assert here("data", "show", "--json", cwd=shop) == before


NEW_FILES: dict[str, Callable[[Path], None]] = {
    "one class": _csv([HEAD, *((text, "great") for text, _ in reviews(40))]),
    "two rows": _csv([HEAD, ("good", "great"), ("bad", "bad")]),
    "all duplicates": _csv([HEAD, *[("the same", "great")] * 50]),
    "all labels NaN": _csv([HEAD, *((text, "NaN") for text, _ in reviews(40))]),
    "5,000 classes": _csv([HEAD, *((f"text {n}", f"class {n}") for n in range(5000))]),
}


@pytest.mark.parametrize("name", NEW_FILES)
def test_data_that_no_model_can_learn_is_refused(tmp_path: Path, name: str, here: Type) -> None:
    assert here("init", "reviews", cwd=tmp_path)[0] == 0
    NEW_FILES[name](tmp_path / "rows.csv")
    code, said, wrong = here("data", "add", "rows.csv", "--json", cwd=tmp_path)
    assert code == 2, wrong
    refused = json.loads(said)
    assert refused["error"]["message"]
    assert refused["error"]["hint"]
    assert here("data", "show", cwd=tmp_path)[0] == 2


def test_unknown_column_names_those_there_are(shop: Path) -> None:
    words = ["data", "add", "reviews.csv", "--map", "text=comment"]
    refused = feilun_json(*words, cwd=shop, code=2)
    assert "comment" in refused["error"]["message"]
    assert "review" in refused["error"]["message"] + refused["error"]["hint"]


def test_unknown_settings_are_reported_together(shop: Path, tmp_path: Path) -> None:
    feilun_json("init", "other", cwd=tmp_path)
    file = tmp_path / "other" / "feilun.toml"
    file.write_text(
        file.read_text("utf-8")
        + "[data]\ntset = 0.1\nvalidation = 2\n[training.full]\nepohcs = 3\n[trainnig]\nx = 1\n",
        "utf-8",
    )
    refused = feilun_json("data", "audit", cwd=tmp_path, code=2)
    for word in ("data.tset", "data.validation", "trainnig"):
        assert word in refused["error"]["message"]
    for lang, word in (("en", "there is no such setting"), ("zh", "没有这个设置")):
        done = feilun("data", "audit", cwd=tmp_path, FEILUN_LANG=lang)
        assert word in done.stderr


def test_method_settings_that_do_not_exist_are_named(shop: Path) -> None:
    words = ["run", "--set", "training.full.epohcs=3", "--set", "training.lora.rnak=3"]
    refused = feilun_json(*words, cwd=shop, code=2)
    assert "training.full.epohcs" in refused["error"]["message"]
    assert "training.lora.rnak" in refused["error"]["message"]


def test_hub_id_without_a_network_says_what_is_at_hand(tmp_path: Path) -> None:
    feilun_json("init", "reviews", "--base", "nobody/no-such-model", cwd=tmp_path)
    write_reviews(tmp_path / "reviews.csv", 60)
    feilun_json("data", "add", "reviews.csv", cwd=tmp_path)
    refused = feilun_json("run", "--method", "full", cwd=tmp_path, code=3, HF_HUB_OFFLINE="1")
    assert "nobody/no-such-model" in refused["error"]["message"]
    assert "minilm" in refused["error"]["message"] + refused["error"]["hint"]


def test_port_taken(shop: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = feilun_json("serve", "--port", str(port), cwd=shop, code=3)
    assert str(port) in refused["error"]["message"]


def test_wrong_key(shop: Path, tmp_path: Path) -> None:
    server = Forked(
        command("serve", "--port", "0", "--json"),
        cwd=shop,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        address = json.loads(server.stdout.readline())["address"]
        refused = feilun_json(
            "predict", "good", "--url", address, "--key", "fl_wrong", cwd=shop, code=2
        )
        assert address in refused["error"]["message"]
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()


def test_tampered_artifact_is_noticed(tmp_path: Path) -> None:
    feilun_json("init", "reviews", cwd=tmp_path)
    write_reviews(tmp_path / "reviews.csv", 120)
    feilun_json("data", "add", "reviews.csv", cwd=tmp_path)
    feilun_json("run", "--method", "linear", cwd=tmp_path)
    with Workspace(tmp_path) as workspace:
        artifact = workspace.project().model().record.artifact()
        assert artifact is not None
        weights = workspace.store.artifacts.path(artifact) / "weights.safetensors"
    weights.chmod(0o644)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    refused = feilun_json("predict", "good", cwd=tmp_path, code=3)
    assert refused["error"]["code"].startswith("store.")
    health: dict[str, Any] = feilun_json("doctor", cwd=tmp_path, code=3)
    assert not health["ok"]


def test_force_needs_a_reason(shop: Path) -> None:
    refused = feilun_json("deploy", "--force", cwd=shop, code=2)
    assert "--reason" in refused["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["run", "--mehtod", "full"],
        ["init"],
        ["init", "Bad Name"],
        ["init", "x", "--task", "telepathy"],
        ["run", "--method", "magic"],
        ["run", "--set", "novalue"],
        ["data", "add", "reviews.csv", "--split", "half"],
        ["predict", "good", "--model", "reviews@99"],
        ["export", "reviews@99", "out"],
        ["keys", "revoke", "fl_nothing"],
        ["restore", "nowhere"],
        ["import", "nowhere"],
        ["run", "--project", "nobody"],
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_words_exit_with_2_and_speak_both_languages(
    shop: Path, words: list[str], here: Type
) -> None:
    spoken = []
    for lang in ("en", "zh"):
        code, _, wrong = here(*words, cwd=shop, lang=lang)
        assert code == 2, wrong
        assert "Traceback" not in wrong
        spoken.append(wrong)
    assert spoken[0] != spoken[1]
    assert any("一" <= letter <= "鿿" for letter in spoken[1])
