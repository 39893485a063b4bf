"""Our picture preprocessing gives the numbers of transformers' own, or refuses."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from feilun.errors import InvalidData
from feilun.modalities.image.arrays import FILE, ImageProcessor
from feilun.tasks import base

CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 40, "width": 24}},
    "vit defaults": {"image_processor_type": "ViTImageProcessor"},
    "vit, old form": {"feature_extractor_type": "ViTFeatureExtractor", "size": 48, "resample": 3},
    "vit, not normalised": {
        "image_processor_type": "ViTImageProcessorFast",
        "size": {"height": 20, "width": 20},
        "do_normalize": False,
        "resample": 0,
    },
    "vit, bytes": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 16, "width": 16},
        "do_rescale": False,
        "do_normalize": False,
    },
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": 64,
        "crop_size": 50,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "beit": {
        "image_processor_type": "BeitImageProcessor",
        "do_center_crop": True,
        "size": {"height": 30, "width": 30},
        "crop_size": {"height": 44, "width": 21},
        "do_reduce_labels": False,
    },
    "convnext": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": {"shortest_edge": 56},
        "crop_pct": 0.875,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "convnext, large": {"image_processor_type": "ConvNextImageProcessor"},
    "bit": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 37},
        "crop_size": {"height": 33, "width": 33},
    },
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32},
    "clip, crop larger than picture": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 20},
        "crop_size": {"height": 31, "width": 45},
    },
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}},
    "mobilenet": {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "size": {"shortest_edge": 45},
        "crop_size": {"height": 40, "width": 40},
        "rescale_factor": 1 / 127.5,
    },
}


def _pictures() -> list[Image.Image]:
    """Real gradients and noise, of several shapes; one transparent, one grey."""
    generator = np.random.default_rng(0)
    pictures = []
    for height, width, bands in ((50, 70, 3), (91, 33, 3), (16, 16, 3), (40, 40, 4), (23, 57, 1)):
        smooth = np.linspace(0, 200, height * width * bands).reshape(height, width, bands)
        noisy = (smooth + generator.integers(0, 55, smooth.shape)).astype(np.uint8)
        pictures.append(Image.fromarray(noisy[..., 0] if bands == 1 else noisy))
    return pictures


def _bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _theirs(raw: dict[str, Any], pictures: list[Image.Image]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        name = raw.get("image_processor_type") or raw["feature_extractor_type"]
        for ending in ("FeatureExtractor", "ImageProcessorFast", "ImageProcessor"):
            name = name.removesuffix(ending)
        processor = getattr(transformers, f"{name}ImageProcessorPil").from_dict(raw)
        # Ours always makes RGB of what comes: theirs is told to.
        values = processor(images=pictures, do_convert_rgb=True, return_tensors="np")
    result: np.ndarray = values["pixel_values"]
    return result


@pytest.mark.parametrize("name", CONFIGS)
def test_equal_to_transformers(tmp_path: Path, name: str) -> None:
    (tmp_path / FILE).write_text(json.dumps(CONFIGS[name]), "utf-8")
    processor = ImageProcessor.read(tmp_path)
    pictures = _pictures()
    ours = processor.collate(processor.encode([_bytes(p) for p in pictures]))["pixel_values"]
    theirs = _theirs(CONFIGS[name], pictures)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_saved_and_read_again_it_is_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / FILE).write_text(json.dumps(CONFIGS[name]), "utf-8")
    first = ImageProcessor.read(tmp_path)
    (tmp_path / "copy").mkdir()
    first.save(tmp_path / "copy")
    second = ImageProcessor.read(tmp_path / "copy")
    assert second.recipe == first.recipe


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"image_processor_type": "LayoutLMv3ImageProcessor", "apply_ocr": True}, "LayoutLMv3"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "ViTImageProcessor", "do_thumbnail": True}, "do_thumbnail"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 99}}, "size"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 99}}, "size"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "do_center_crop"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, "resample"),
        ({"image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0, 0.5]}, "image_std"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": "x"}, "image_mean"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"height": "a"}}, "size"),
        ({"do_resize": True}, "size"),
        ([1, 2], "list"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, raw: Any, named: str) -> None:
    (tmp_path / FILE).write_text(json.dumps(raw), "utf-8")
    with pytest.raises(InvalidData, match=named):
        ImageProcessor.read(tmp_path)


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    raw = {"image_processor_type": "ViTImageProcessor", "do_pad": True, "do_flip": 1, "size": "x"}
    (tmp_path / FILE).write_text(json.dumps(raw), "utf-8")
    with pytest.raises(InvalidData) as caught:
        ImageProcessor.read(tmp_path)
    assert all(word in str(caught.value) for word in ("do_pad", "do_flip", "size='x'"))


def test_a_folder_without_a_processor(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=FILE):
        ImageProcessor.read(tmp_path)
    (tmp_path / FILE).write_text("{", "utf-8")
    with pytest.raises(InvalidData, match="JSON"):
        ImageProcessor.read(tmp_path)


def test_a_picture_too_narrow_to_scale_is_refused(tmp_path: Path) -> None:
    """One pixel wide, it would grow to a thousand million when its short side becomes 224."""
    (tmp_path / FILE).write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"}))
    with pytest.raises(InvalidData, match="too narrow"):
        ImageProcessor.read(tmp_path).encode([_bytes(Image.new("L", (1, 20_000)))])


def test_grey_networks_get_one_channel(tmp_path: Path) -> None:
    task = base.get("image-classification")
    processor = task.processor("scratch:vit", {"image_size": 12, "color": False})
    processor.save(tmp_path)
    items = task.example_items()
    values = processor.collate(processor.encode(items))["pixel_values"]
    assert values.shape == (3, 1, 12, 12)
    assert values.min() >= -1
    assert values.max() <= 1
    again = task.processor(tmp_path, {})
    np.testing.assert_array_equal(again.collate(again.encode(items))["pixel_values"], values)


def test_encoded_pictures_are_compact() -> None:
    processor = ImageProcessor.scratch(32, True)
    (encoded,) = processor.encode([_bytes(Image.new("RGB", (100, 80)))])
    assert encoded.cost == 32 * 32
    assert sum(array.nbytes for array in encoded.arrays.values()) == 3 * 32 * 32
