"""How a folder finds its engine, and what is not imported on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from feilun import registry
from feilun.engines.base import formats, open_engine
from feilun.engines.card import Card, read_card, write_card
from feilun.errors import CorruptArtifact, EnvironmentProblem
from helpers.tiny import linear_version, schema


def test_every_engine_file_names_its_formats() -> None:
    found = [
        name
        for file in registry.names("engines")
        for name in registry.load("engines", file).FORMATS
    ]
    assert formats() == sorted(found)
    assert len(set(found)) == len(found)
    assert {"bm25", "crf", "dense", "head", "linear", "openvino", "transformers", "trees"} <= set(
        found
    )


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    write_card(tmp_path, Card("pickle", schema(), "full"))
    with pytest.raises(
        EnvironmentProblem, match=r"bm25, cascade, causal, crf, .*transformers, trees"
    ):
        open_engine(tmp_path)


@pytest.mark.parametrize("text", [None, "", "[]", '{"format": "linear"}', '{"schema": 1}'])
def test_a_folder_without_a_card_is_corrupt(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "feilun.json").write_text(text, "utf-8")
    with pytest.raises(CorruptArtifact):
        open_engine(tmp_path)


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    card = Card("head", schema(), "head", "int8", {"a": 1}, {"b": [2]}, {"temperature": 1.5})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_a_linear_version_imports_neither_torch_nor_openvino(tmp_path: Path) -> None:
    version = linear_version(tmp_path / "version")
    code = (
        "import json, sys; from pathlib import Path; from feilun.engines.base import open_engine;"
        f"open_engine(Path({str(version)!r})).predict(['w1']); print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"torch", "openvino", "transformers", "nncf", "sklearn"}


@pytest.mark.slow
def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from feilun.engines.openvino import openvino; openvino();"
        "import nncf; assert not sys.modules.get('openvino_telemetry');"
        "from feilun.engines import _generator\n"
        "given = {'model': '', 'sequences': 1, 'batch_tokens': 1, 'stops': ()}\n"
        "try: _generator._open(given | {'threads': None, 'exact': False})\n"
        "except RuntimeError: assert 'openvino_genai' in sys.modules\n"
        "assert not sys.modules.get('openvino_telemetry')"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=120,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    assert not list(tmp_path.rglob("openvino*"))


def test_first_arrays_of_two_threads_do_not_wait_for_each_other() -> None:
    """The library's lock and the interpreter's were taken in both orders: a server that opened its
    model with two threads at once hung for ever, about once in a hundred starts."""
    program = """
import sys, threading
import numpy as np
from feilun.engines.openvino import openvino
sys.setswitchinterval(1e-6)
ov, begin = openvino(), threading.Barrier(3)
def first():
    begin.wait()
    ov.Type.f32.to_dtype()
    ov.Tensor(np.zeros((2, 3), np.int64), shared_memory=True)
threads = [threading.Thread(target=first) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
