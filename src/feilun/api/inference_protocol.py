"""Calls in the Open Inference Protocol v2 over HTTP, which KServe, Triton and MLServer speak too.

A model is an endpoint; its version is the number behind the @. Each column of its task is an input
tensor. The outputs are ``label`` and ``score``, and ``abstained`` where the version leaves answers
to people; ``scores`` (a matrix) and ``labels`` (its columns) come on request. Calls are charged
like every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from feilun.api.answer import JSON_LENGTH, framing
from feilun.api.body import Receive, decode
from feilun.api.call import Answer, Answered, Call, answer
from feilun.api.context import Api
from feilun.api.errors import BadRequest
from feilun.api.opening import find_model, opened
from feilun.api.tensors import InputTensor, OutputTensor, Tensor, read_values, write
from feilun.api.trace import Trace
from feilun.errors import InvalidData, PayloadTooLarge
from feilun.families.base import AnswerTensor
from feilun.serving.served import Served
from feilun.types import Item, Scalar

__all__ = ["infer", "name_of", "number_of"]

_LONG = 32 * 1024
"""Bytes of a body from which checking its inputs would hold up the event loop."""


class InferBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /v2/models/{model}/infer`` takes."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: dict[str, str | int | float | bool] = {}
    outputs: list[OutputTensor] | None = None


_decoder = msgspec.json.Decoder(InferBody)


async def infer(
    api: Api,
    headers: Mapping[bytes, bytes],
    receive: Receive,
    trace: Trace,
    *,
    model: str,
    version: str | None = None,
) -> Answer:
    """``POST /v2/models/{model}/infer``, or of one version ``…/versions/{version}/infer``."""
    key, raw = await opened(api, headers, receive, trace)
    text, binary = _split(raw, headers)
    body = decode(_decoder, text)
    endpoint, served = find_model(api, key, name_of(api, model, version), trace)
    wanted = _wanted(served, body)
    with served.enter():
        items = await _prepare(served, body, binary, len(raw))
        everything = any(one.everything or not one.usual for one, _ in wanted)
        call = Call(key, endpoint, served, items, everything, trace=trace)
        made = await answer(
            api, call, lambda answered: _render(endpoint, served, body, wanted, answered)
        )
    if any(behind for _, behind in wanted):
        return replace(made, headers=(*made.headers, *framing(made.body)))
    return made


def _split(raw: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """The JSON of a body, and what lies behind it."""
    if JSON_LENGTH not in headers:
        return raw, b""
    given = headers[JSON_LENGTH]
    length = int(given[:20]) if given.isdigit() else -1
    if not 0 <= length <= len(raw):
        raise BadRequest("api.bad_head_length", size=len(raw))
    return raw[:length], raw[length:]


def name_of(api: Api, model: str, version: str | None) -> str:
    """An endpoint and a version's number as `Models.find` takes them."""
    if version is None:
        return model
    route = api.models.routes.get(model)
    return f"{route.project if route else model}@{version}"


def _known(parameters: Mapping[str, object], allowed: Sequence[str], where: str) -> None:
    """What is asked for and not done would be a silent mistake."""
    for name in parameters:
        if name not in allowed:
            raise InvalidData(
                "api.unknown_parameter", name=name[:80], options=allowed, tensor=where
            )


def _wanted(served: Served, body: InferBody) -> list[tuple[AnswerTensor, bool]]:
    """The outputs in order, and whether each goes as binary data."""
    _known(body.parameters, ("all_scores", "binary_data_output"), "parameters")
    binary = bool(body.parameters.get("binary_data_output", False))
    offered = {one.name: one for one in served.tensors}
    if body.outputs is None:
        everything = bool(body.parameters.get("all_scores", False))
        return [(one, binary) for one in served.tensors if everything or one.usual]
    found = []
    for output in body.outputs:
        if output.name not in offered:
            raise InvalidData("api.unknown_output", name=output.name[:80], options=list(offered))
        _known(output.parameters, ("binary_data",), output.name)
        found.append((offered[output.name], bool(output.parameters.get("binary_data", binary))))
    return found


async def _prepare(served: Served, body: InferBody, binary: bytes, size: int) -> list[Item]:
    def work() -> list[Item]:
        return served.check(_items(served, body.inputs, binary))

    return await asyncio.to_thread(work) if size > _LONG or binary else work()


def _items(served: Served, tensors: Sequence[InputTensor], binary: bytes) -> list[Item]:
    """One item for each place of the tensors. Raises `InvalidData` when a column is missing, there
    is one too many, or they are not equally long."""
    columns = {column.name: column for column in served.task.columns}
    given = [tensor.name for tensor in tensors]
    # A row of a table may lack columns; they are missing values.
    whole = sorted(given) == sorted(columns)
    if not whole and not (
        served.task.open_columns and given and set(given) <= set(columns) and _once(given)
    ):
        raise InvalidData("api.wrong_tensors", given=_short(given), wanted=sorted(columns))
    read: dict[str, list[Scalar]] = {}
    for tensor in tensors:
        _known(tensor.parameters, ("binary_data_size",), tensor.name)
        if max(tensor.shape, default=0) > served.serving.max_inputs:
            raise PayloadTooLarge(
                "api.too_many_inputs",
                given=max(tensor.shape),
                limit=served.serving.max_inputs,
                param=tensor.name,
            )
        part: bytes | None = None
        if "binary_data_size" in tensor.parameters:
            length = tensor.parameters["binary_data_size"]
            if type(length) is not int or not 0 <= length <= len(binary) or tensor.data is not None:
                raise InvalidData("api.wrong_binary", tensor=tensor.name)
            part, binary = binary[:length], binary[length:]
        read[tensor.name] = read_values(tensor, columns[tensor.name], part)
    if binary:
        raise InvalidData("api.binary_left_over", size=len(binary))
    sizes = {name: len(values) for name, values in read.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidData("api.uneven_tensors", sizes=[f"{n} {s}" for n, s in sizes.items()])
    if not next(iter(sizes.values())):
        raise InvalidData("api.no_inputs", param="inputs")
    if len(columns) == 1:
        return list(next(iter(read.values())))
    rows = zip(*read.values(), strict=True)
    return [dict(zip(read, row, strict=True)) for row in rows]


def _once(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _short(names: Sequence[str]) -> list[str]:
    return [name[:80] for name in names[:10]]


def _render(
    endpoint: str,
    served: Served,
    body: InferBody,
    wanted: Sequence[tuple[AnswerTensor, bool]],
    answered: Answered,
) -> bytes:
    head = {
        "model_name": endpoint,
        "model_version": number_of(served),
        "id": body.id or answered.call_id,
        "parameters": {"prediction_id": answered.call_id},
    }
    tensors = [(Tensor(one.name, one.values(answered.outputs)), raw) for one, raw in wanted]
    return write(head, tensors)


def number_of(served: Served) -> str:
    """What stands behind the @ of a version's name."""
    return served.id.rpartition("@")[2]
