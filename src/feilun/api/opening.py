"""How every call that is charged begins, whatever its interface: who asks, then what."""

from __future__ import annotations

from collections.abc import Mapping

from feilun.api.body import Receive, read_body
from feilun.api.context import Api
from feilun.api.trace import Trace
from feilun.serving.served import Served
from feilun.store.records import ApiKey

__all__ = ["find_model", "opened"]


async def opened(
    api: Api, headers: Mapping[bytes, bytes], receive: Receive, trace: Trace
) -> tuple[ApiKey, bytes]:
    """The caller's key, and the body, which is read only from those who may ask.

    Raises what `Api.authorise` and `read_body` raise.
    """
    key = await api.authorise(headers)
    trace.lap("authorise")
    raw = await read_body(receive, headers)
    trace.lap("read")
    return key, raw


def find_model(api: Api, key: ApiKey, model: str | None, trace: Trace) -> tuple[str, Served]:
    """The endpoint and the version that answer `model`, noted in `trace`; see `Models.find`."""
    endpoint, served = api.models.find(model, key.project)
    trace.endpoint, trace.version = endpoint, served.id
    return endpoint, served
