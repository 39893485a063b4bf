"""Real small pictures as folders of PNG files, one sub-folder a class."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["FASHION", "write_digits", "write_fashion"]

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` keeps its files."""
_CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)


def write_digits(folder: Path, count: int | None = None) -> Path:
    """scikit-learn's 1,797 handwritten digits of 8 × 8 pixels (or the first `count`)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pairs = list(zip(digits.images, digits.target, strict=True))[:count]
    for number, (image, label) in enumerate(pairs):
        _write(folder / str(label), number, np.uint8(np.round(image * 255 / 16)))
    return folder


def write_fashion(folder: Path, part: str, count: int) -> Path:
    """The first `count` pictures of Fashion-MNIST's `part`, ``train`` or ``t10k``."""
    images = _idx(part, "images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _idx(part, "labels-idx1-ubyte.gz", 8)
    for number, (image, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        _write(folder / _CLOTHES[label], number, image)
    return folder


def _idx(part: str, name: str, skip: int) -> np.ndarray:
    with gzip.open(FASHION / f"{part}-{name}") as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=skip)


def _write(folder: Path, number: int, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / f"{number:05}.png")
