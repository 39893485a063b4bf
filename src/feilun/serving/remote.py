"""Speaks to a running server of the workspace with the internal token: loads a candidate there and
asks it the golden requests, over the same path that customers' calls take."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import httpx

from feilun.errors import EnvironmentProblem
from feilun.serving.internal import make_token
from feilun.types import Item, Output

__all__ = ["Remote"]

_TOGETHER = 8
"""Golden requests in one call: enough to be batched, few enough to mix long with short."""


class Remote:
    """A server at `address`, spoken to with the workspace's `secret`. Use it as a context."""

    def __init__(self, address: str, secret: str, *, timeout: float = 120.0) -> None:
        self.address = address
        self._http = httpx.Client(
            base_url=f"{address.rstrip('/')}/internal/v1",
            headers={"authorization": f"Bearer {make_token(secret)}"},
            timeout=timeout,
            trust_env=False,  # never through a proxy: the server is the workspace's own
        )

    def load(self, version: str, variant: str | None = None) -> dict[str, Any]:
        """Loads a candidate beside what answers now. Raises `EnvironmentProblem`."""
        return self._post("load", {"version": version, "variant": variant})

    def unload(self, version: str, variant: str | None = None) -> None:
        """Lets the candidate go, unless it is live."""
        self._post("unload", {"version": version, "variant": variant})

    def refresh(self) -> dict[str, str]:
        """Lets the server look at the catalog now: ``{endpoint: version}`` that then answers."""
        return cast("dict[str, str]", self._post("refresh", None)["models"])

    def predict(
        self, version: str, items: Sequence[Item], variant: str | None = None
    ) -> list[Output]:
        """The candidate's answers with every score, in order; nothing is charged or logged."""
        query = {"version": version} | ({"variant": variant} if variant else {})
        outputs: list[Output] = []
        for start in range(0, len(items), _TOGETHER):
            inputs = [_wire(item) for item in items[start : start + _TOGETHER]]
            outputs += self._post("predict", {"inputs": inputs}, query)["outputs"]
        return outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._http.close()

    def _post(self, path: str, body: Any, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            response = self._http.post(path, json=body, params=query)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise EnvironmentProblem(
                "serving.server_failed", address=self.address, reason=reason
            ) from None
        try:
            answer = response.json()
            if response.is_success:
                return cast("dict[str, Any]", answer)
            reason = answer["error"]["message"]
        except (ValueError, KeyError, TypeError):
            reason = f"HTTP {response.status_code}"
        raise EnvironmentProblem("serving.server_failed", address=self.address, reason=reason)


def _wire(item: Item) -> Any:
    if isinstance(item, bytes):
        return {"$base64": base64.b64encode(item).decode("ascii")}
    if isinstance(item, Mapping):
        return {name: _wire(value) for name, value in item.items()}
    return item
