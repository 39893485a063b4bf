"""The public face: what ``import feilun`` offers."""

from __future__ import annotations

import pytest

import feilun
from feilun import errors


def test_all_is_sorted() -> None:
    assert feilun.__all__ == sorted(feilun.__all__)
    assert dir(feilun) == feilun.__all__


@pytest.mark.parametrize("name", feilun.__all__)
def test_every_name_resolves(name: str) -> None:
    assert getattr(feilun, name) is not None


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(feilun.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wheel'"):
        feilun.Wheel  # noqa: B018
