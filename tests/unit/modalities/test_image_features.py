"""The linear baseline's view of pictures: colours and edges, enough to read digits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from feilun.modalities.image.arrays import PixelFeatures


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_digits_are_learnt() -> None:
    """As the linear method uses them: rows of length one. The last digits are other people's."""
    digits = load_digits()
    items = [_png(np.uint8(image * 15)) for image in digits.images]
    rows = PixelFeatures().transform(items)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    learner = LogisticRegression(C=3, max_iter=200)
    learner.fit(rows[:1400], digits.target[:1400])
    assert learner.score(rows[1400:], digits.target[1400:]) > 0.96


def test_colours_and_edges_are_told_apart() -> None:
    features = PixelFeatures()
    colours = 3 * features.coarse**2
    across = np.zeros((32, 32, 3), np.uint8)
    across[16:] = 255
    plain = np.full((32, 32, 3), (255, 0, 51), np.uint8)
    one, turned, red = features.transform([_png(p) for p in (across, across.swapaxes(0, 1), plain)])
    assert not np.allclose(one[colours:], turned[colours:])
    np.testing.assert_allclose(red[:3], [1 / 8, -1 / 8, (0.2 - 0.5) / 4], atol=1e-6)
    np.testing.assert_array_equal(red[colours:], 0)
    # Each direction of an edge votes in its own histogram: at 90 degrees, the middle one.
    votes = one[colours:].reshape(-1, features.directions).sum(axis=0)
    assert votes.argmax() in (features.directions // 2, features.directions // 2 + 1)
    assert votes[0] < 1e-6


def test_any_size_has_as_many_columns() -> None:
    features = PixelFeatures()
    sizes = [(1, 1), (8, 8), (300, 20), (33, 64)]
    rows = features.transform([_png(np.zeros(size, np.uint8)) for size in sizes])
    assert rows.shape == (4, features.size)
    assert np.isfinite(rows).all()
