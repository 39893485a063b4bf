"""Times as files write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from feilun.errors import InvalidData
from feilun.modalities.times import moment

THREE = datetime(2026, 3, 1, 15, 5, tzinfo=UTC).timestamp()
DAY = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01 15:05:00 UTC",
        "2026-03-01 15:05:00 GMT",
        "2026-03-01T15:05:00Z",
        "2026-03-01 15:05 +0000",
        "2026-03-01 23:05:00+08",
        "01.03.2026 15:05",
        "1.3.2026, 15:05:00",
        "2026年3月1日 下午3:05",
        "2026年3月1日下午3:05:00",
        "2026年03月01日 15时05分",
        "2026年3月1日 星期日 15:05",
        "2026/3/1 3:05 PM",
        "20260301150500",
        "20260301150500.0",
        20260301150500,
        20260301150500.0,
        "202603011505",
        "2026-03-01 15:05:00.000",
        "March 1, 2026 3:05 PM",
        "Sunday, Mar 1st, 2026 at 3:05 pm",
        "Sun, 1 Mar 2026 15:05:00 +0000",
        "1. März 2026, 15:05 Uhr",
        "So., 1. Mrz. 2026 um 15:05",
        str(int(THREE)),
        str(int(THREE) * 1000),
        "46082.628472222226",
        46082.628472222226,
    ],
)
def test_a_moment(text: str | float) -> None:
    assert moment(text, "time") == pytest.approx(THREE, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "01.03.2026",
        "2026年3月1日",
        "20260301",
        20260301,
        "46082",
        46082,
        "1 March 2026",
        "01-Mar-2026",
        "Mar 1, 2026",
        "1st of march 2026",
        "1. März 2026",
        "Sonntag, 1. März 2026",
    ],
)
def test_a_day(text: str | int) -> None:
    assert moment(text, "time") == DAY


@pytest.mark.parametrize("text", ["2026年3月1日 上午12:05", "2026-03-01 12:05 am"])
def test_midnight(text: str) -> None:
    assert moment(text, "time") == DAY + 300


@pytest.mark.parametrize(
    "text", ["²", "1²", "01/02/2026", "31.02.2026", "20261301", "2026-03-01 ²"]
)
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(InvalidData) as caught:
        moment(text, "when")
    assert (caught.value.code, caught.value.params["column"]) == ("splits.bad_time", "when")
