"""The same commands train and serve a classifier of images from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from feilun.client import Client
from feilun.project import Workspace
from feilun.serving.process import temporary_server
from helpers.cli import feilun_json
from helpers.pictures import FASHION, write_digits, write_fashion


def _wheel(folder: Path, pictures: Path, *settings: str) -> dict[str, object]:
    feilun_json("init", "pictures", "--task", "image-classification", cwd=folder)
    added = feilun_json("data", "add", str(pictures), cwd=folder)
    assert added["report"]["bad"] == 0
    return feilun_json("run", *settings, cwd=folder, timeout=1800)


def _ask(folder: Path, files: list[Path]) -> list[str]:
    with Workspace(folder) as workspace:
        key = workspace.create_key("Tester").secret
        with temporary_server(workspace.folder) as address, Client(address, key) as client:
            return client.predict([file.read_bytes() for file in files], model="pictures").labels


def _right(files: list[Path], labels: list[str]) -> int:
    return sum(label == file.parent.name for file, label in zip(files, labels, strict=True))


@pytest.mark.slow
def test_digits_from_a_folder(tmp_path: Path) -> None:
    pictures = write_digits(tmp_path / "digits", 800)
    turned = _wheel(tmp_path, pictures)
    methods = {stage["method"]: stage for stage in turned["stages"]}  # type: ignore[attr-defined]
    assert {"linear", "full"} <= methods.keys()
    assert methods["full"]["score"]["value"] >= 0.9
    files = [sorted((pictures / str(n)).iterdir())[0] for n in range(10)]
    said = PngInfo()
    said.add_text("parameters", "a digit, handwritten, " * 90_000)
    generated = tmp_path / "generated.png"
    Image.open(files[3]).save(generated, pnginfo=said)
    *labels, same = _ask(tmp_path, [*files, generated])
    assert _right(files, labels) >= 9
    assert same == labels[3], "what a generator writes into a picture changes nothing"
    predicted = feilun_json("predict", str(files[3]), cwd=tmp_path)
    assert set(predicted["outputs"][0]) == {"label", "score"}


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_from_a_folder(tmp_path: Path) -> None:
    pictures = write_fashion(tmp_path / "fashion", "train", 12_000)
    turned = _wheel(tmp_path, pictures)
    best = max(stage["score"]["value"] for stage in turned["stages"])  # type: ignore[attr-defined]
    assert best >= 0.86
    held = write_fashion(tmp_path / "held", "t10k", 200)
    files = sorted(held.glob("*/*.png"))
    right = sum(
        label == file.parent.name for file, label in zip(files, _ask(tmp_path, files), strict=True)
    )
    assert right / len(files) >= 0.8
