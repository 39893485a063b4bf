"""Handwritten digits: 1,797 of them, 8 by 8 pixels, as scikit-learn ships them."""

from __future__ import annotations

from pathlib import Path

from feilun.demo.sample import Sample, csv_sample

__all__ = ["write"]

_SCALE = 4


def write(folder: Path, lang: str) -> Sample:
    """A folder of pictures, and both files with their names."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    pictures, rows = folder / "digits", []
    pictures.mkdir(exist_ok=True)
    found = load_digits()
    for number, (pixels, digit) in enumerate(zip(found.images, found.target, strict=True)):
        grey = np.kron(255 - pixels * (255 / 16), np.ones((_SCALE, _SCALE))).astype(np.uint8)
        name = f"digits/{number:04}.png"
        Image.fromarray(grey).save(folder / name)
        rows.append([name, str(digit)])
    columns = {"image": "image", "label": "digit"}
    return csv_sample(folder, "image-classification", "digits", columns, ["image", "digit"], rows,
                  testing=300, traffic=300)  # fmt: skip
