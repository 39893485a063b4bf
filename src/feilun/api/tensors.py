"""Tensors of the Open Inference Protocol v2 on the wire: in JSON, or as binary data behind it.

Binary data is the protocol's binary tensor data extension: the body is a JSON text of as many bytes
as the header ``Inference-Header-Content-Length`` says, then the tensors that announce a
``binary_data_size``, one after the other. Elements of BYTES are a length of four bytes,
little-endian, and that many bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from feilun.api.encoding import encode
from feilun.errors import InvalidData, PayloadTooLarge
from feilun.serving.limits import MAX_TEXT
from feilun.tasks.base import Column
from feilun.types import Scalar

__all__ = ["InputTensor", "OutputTensor", "Tensor", "datatype_of", "read_values", "write"]

_NUMBERS: dict[str, str] = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}

_SHOWN = 8
"""Dimensions that a shape may have."""


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor of a request. `data` is flat or nested; None where it lies behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, str | int | float | bool] = {}
    data: list[Any] | None = None


class OutputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor that a request wants."""

    name: str
    parameters: dict[str, str | int | float | bool] = {}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of an answer: texts, or an array of numbers."""

    name: str
    values: Sequence[str] | np.ndarray

    @property
    def datatype(self) -> str:
        """``BYTES``, ``BOOL``, ``FP32`` or ``FP64``."""
        if not isinstance(self.values, np.ndarray):
            return "BYTES"
        if self.values.dtype == np.bool_:
            return "BOOL"
        return "FP64" if self.values.dtype == np.float64 else "FP32"

    @property
    def shape(self) -> list[int]:
        """Sizes, the first one that of the batch."""
        values = self.values
        return list(values.shape) if isinstance(values, np.ndarray) else [len(values)]

    @property
    def flat(self) -> list[Any]:
        """The values as JSON writes them, row by row."""
        values = self.values
        if not isinstance(values, np.ndarray):
            return list(values)
        if values.dtype == np.bool_:
            return list(values.ravel().tolist())
        return [round(value, 6) for value in values.ravel().tolist()]

    @property
    def binary(self) -> bytes:
        """The values as the binary extension writes them."""
        values = self.values
        if isinstance(values, np.ndarray):
            return values.astype("?" if values.dtype == np.bool_ else "<f4").tobytes()
        texts = [value.encode() for value in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def datatype_of(column: Column) -> str:
    """How a task's column is announced."""
    return "FP64" if column.kind == "number" else "BYTES"


def read_values(tensor: InputTensor, column: Column, binary: bytes | None) -> list[Scalar]:
    """The values of a task's `column`, one an input; `binary` is what lies behind the JSON.

    Raises `InvalidData` for another datatype, a shape of more than one list, data that does not
    fill the shape, and text that is not UTF-8.
    """
    count = _count(tensor)
    numbers = column.kind == "number"
    if tensor.datatype != "BYTES" and not (numbers and tensor.datatype in _NUMBERS):
        raise InvalidData(
            "api.wrong_datatype",
            tensor=tensor.name,
            given=tensor.datatype[:20],
            wanted=datatype_of(column),
        )
    if binary is None:
        found = _leaves(tensor.data or [], tensor)
        values = [_of_json(value, column, tensor.name) for value in found]
    elif tensor.datatype == "BYTES":
        values = [_of_bytes(value, column, tensor.name) for value in _elements(binary, tensor.name)]
    else:
        kind = np.dtype(_NUMBERS[tensor.datatype])
        if len(binary) % kind.itemsize:
            raise InvalidData("api.wrong_binary", tensor=tensor.name)
        values = np.frombuffer(binary, kind).tolist()
    if len(values) != count:
        raise InvalidData(
            "api.wrong_shape",
            tensor=tensor.name,
            shape=str(tensor.shape[:_SHOWN]),
            given=len(values),
        )
    return values


def write(head: dict[str, Any], tensors: Sequence[tuple[Tensor, bool]]) -> bytes:
    """A response of `head` and its outputs; each goes behind the JSON where its flag says so."""
    described, behind = [], []
    for tensor, as_binary in tensors:
        one: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if as_binary:
            behind.append(tensor.binary)
            one["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            one["data"] = tensor.flat
        described.append(one)
    return b"".join([encode({**head, "outputs": described}), *behind])


def _count(tensor: InputTensor) -> int:
    """How many inputs the shape stands for: one dimension may differ from one."""
    shape = tensor.shape
    if (
        not 0 < len(shape) <= _SHOWN
        or any(size < 0 for size in shape)
        or sum(size != 1 for size in shape) > 1
    ):
        raise InvalidData("api.not_a_list", tensor=tensor.name, shape=str(shape[:_SHOWN]))
    return math.prod(shape)


def _leaves(data: Sequence[Any], tensor: InputTensor, depth: int = 1) -> Iterator[Any]:
    """Flat or nested as the shape has it."""
    for value in data:
        if not isinstance(value, list):
            yield value
        elif depth < len(tensor.shape):
            yield from _leaves(value, tensor, depth + 1)
        else:
            raise InvalidData(
                "api.not_a_list", tensor=tensor.name, shape=str(tensor.shape[:_SHOWN])
            )


def _of_json(value: Any, column: Column, name: str) -> Scalar:
    """Text as it is, a picture from base64, a number from a number."""
    if column.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidData("api.wrong_element", tensor=name, wanted="number")
        return value
    if not isinstance(value, str):
        raise InvalidData("api.wrong_element", tensor=name, wanted="string")
    if column.kind != "image":
        return _short(value, name)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidData("api.bad_base64", param=name) from None


def _of_bytes(value: bytes, column: Column, name: str) -> Scalar:
    if column.kind == "image":
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise InvalidData("api.not_utf8", tensor=name) from None
    if column.kind != "number":
        return _short(text, name)
    try:
        return float(text)
    except ValueError:
        raise InvalidData("api.wrong_element", tensor=name, wanted="number") from None


def _short(text: str, name: str) -> str:
    if len(text) > MAX_TEXT:
        raise PayloadTooLarge("api.text_too_long", given=len(text), limit=MAX_TEXT, param=name)
    return text


def _elements(binary: bytes, name: str) -> Iterator[bytes]:
    start, size = 0, len(binary)
    while start < size:
        end = start + 4
        length = int.from_bytes(binary[start:end], "little")
        if end + length > size:
            raise InvalidData("api.wrong_binary", tensor=name)
        yield binary[end : end + length]
        start = end + length
