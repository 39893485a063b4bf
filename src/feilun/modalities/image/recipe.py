"""What ``preprocessor_config.json`` asks for, as far as feilun does it.

Done: resize to a height and width or by the shortest edge with any of Pillow's filters, ConvNeXT's
``crop_pct``, centre crop, rescale, normalise. A file that asks for more is refused by naming the
keys, because a model that sees other numbers than in training is wrong without a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import InvalidData

__all__ = ["Recipe", "read_recipe"]

_HALF = [0.5, 0.5, 0.5]
_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_STANDARD = {"image_mean": _HALF, "image_std": _HALF}
_CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": 224,
    "do_center_crop": True,
    "resample": 3,
    "image_mean": _CLIP_MEAN,
    "image_std": _CLIP_STD,
}
_MOBILE = {"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True, **_STANDARD}

# What each family of processors does where its file is silent.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "Beit": {"size": 224, "crop_size": 224, "resample": 3, **_STANDARD},
    "Bit": _CLIP,
    "CLIP": _CLIP,
    "ConvNext": {"size": {"shortest_edge": 384}, "crop_pct": 224 / 256, "resample": 3, **_STANDARD},
    "DeiT": {"size": 256, "crop_size": 224, "do_center_crop": True, "resample": 3, **_STANDARD},
    "MobileNetV1": _MOBILE,
    "MobileNetV2": _MOBILE,
    "Siglip": {"size": 224, "resample": 3, **_STANDARD},
    "ViT": {"size": 224, **_STANDARD},
}
_ALWAYS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
_EDGE_FAMILIES = frozenset({"Bit", "CLIP", "ConvNext", "MobileNetV1", "MobileNetV2"})

_USED = frozenset(
    {"do_center_crop", "do_normalize", "do_rescale", "do_resize", "crop_size", "image_mean"}
    | {"image_std", "resample", "rescale_factor", "size"}
)
# They say who wrote the file, or matter to other inputs than a single picture.
_IDLE = frozenset(
    {"_processor_class", "_valid_processor_keys", "data_format", "default_to_square", "device"}
    | {"disable_grouping", "do_convert_rgb", "do_reduce_labels", "feature_extractor_type"}
    | {"image_processor_type", "input_data_format", "processor_class", "return_tensors"}
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Resize to `size` (height, width) or so that the shorter side is `edge`, cut the middle
    `crop` (height, width), then ``(pixel * scale - mean) / std`` for each channel."""

    size: tuple[int, int] | None
    edge: int | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return len(self.mean)

    @property
    def result(self) -> tuple[int, int]:
        """Height and width of every picture in the end."""
        return self.crop or self.size or (0, 0)


def read_recipe(file: Path, raw: Mapping[str, Any]) -> Recipe:
    """The recipe that the content `raw` of `file` describes.

    Raises `InvalidData` listing every key that is not supported or does not fit.
    """
    family = _family(file, raw)
    known = _DEFAULTS.get(family, {})
    asked = {**_ALWAYS, **known, **{k: v for k, v in raw.items() if v is not None}}
    faults = [
        f"{key}={value!r}"
        for key, value in sorted(asked.items())
        if value and key not in _USED and key not in _IDLE and key not in known
    ]
    if asked.get("data_format", "channels_first") != "channels_first":
        faults.append(f"data_format={asked['data_format']!r}")
    size, edge, crop = _geometry(asked, family, faults)
    mean, std = _numbers(asked, "image_mean", faults), _numbers(asked, "image_std", faults)
    if not asked["do_normalize"]:
        mean, std = (0.0,) * len(mean), (1.0,) * len(mean)
    if len(mean) not in (1, 3) or len(mean) != len(std) or not all(std):
        faults.append(f"image_mean={mean!r}, image_std={std!r}")
    resample = asked.get("resample", 2)
    if resample not in range(6):
        faults.append(f"resample={resample!r}")
    if faults:
        raise InvalidData("tasks.image_steps", file=file, faults=faults)
    scale = float(asked["rescale_factor"]) if asked["do_rescale"] else 1.0
    return Recipe(size, edge, crop, int(resample), scale, mean, std)


def _family(file: Path, raw: Mapping[str, Any]) -> str:
    name = str(raw.get("image_processor_type") or raw.get("feature_extractor_type") or "")
    family = name
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        family = family.removesuffix(ending)
    if family == "ConvNeXT":
        family = "ConvNext"
    if name and family not in _DEFAULTS:
        raise InvalidData("tasks.image_processor", file=file, name=name, known=sorted(_DEFAULTS))
    return family


def _geometry(
    asked: Mapping[str, Any], family: str, faults: list[str]
) -> tuple[tuple[int, int] | None, int | None, tuple[int, int] | None]:
    crop = _pair(asked, "crop_size", faults) if asked.get("do_center_crop") else None
    size: tuple[int, int] | None = None
    edge: int | None = None
    if asked["do_resize"]:
        value = asked.get("size")
        if isinstance(value, int) and asked.get("default_to_square", family not in _EDGE_FAMILIES):
            size = (value, value)
        elif isinstance(value, int):
            edge = value
        elif isinstance(value, Mapping) and set(_given(value)) == {"shortest_edge"}:
            edge = int(value["shortest_edge"])
        else:
            size = _pair(asked, "size", faults)
        if family == "ConvNext":
            if edge is None:
                faults.append(f"size={value!r}")
            elif edge < 384:
                crop = crop or (edge, edge)
                edge = int(edge / float(asked["crop_pct"]))
            else:
                size, edge = (edge, edge), None
    if size is None and crop is None and not faults:
        faults.append("size without do_center_crop: the results would differ in size")
    return size, edge, crop


def _given(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: side for key, side in value.items() if side is not None}


def _pair(asked: Mapping[str, Any], key: str, faults: list[str]) -> tuple[int, int] | None:
    value = asked.get(key)
    if isinstance(value, int) and value > 0:
        return value, value
    if isinstance(value, Mapping) and set(_given(value)) == {"height", "width"}:
        return int(value["height"]), int(value["width"])
    faults.append(f"{key}={value!r}")
    return None


def _numbers(asked: Mapping[str, Any], key: str, faults: list[str]) -> tuple[float, ...]:
    value = asked.get(key, _HALF)
    if isinstance(value, (int, float)):
        return (float(value),) * 3
    try:
        return tuple(float(number) for number in value)
    except (TypeError, ValueError):
        faults.append(f"{key}={value!r}")
        return (1.0, 1.0, 1.0)
