"""Which processors clamp sums of products of eight bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.compression.quantize import clamps


@pytest.mark.parametrize(
    ("architecture", "flags", "expected"),
    [
        ("x86_64", "fpu sse4_2 avx2 fma", True),
        ("x86_64", "fpu avx2 avx512f avx512bw", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("x86_64", "fpu avx2 avx_vnni", False),
        ("aarch64", "fp asimd", False),
    ],
)
def test_processors_without_sums_of_32_bits(
    tmp_path: Path, architecture: str, flags: str, expected: bool
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 3992\n", "utf-8")
    assert clamps(told, architecture) is expected


def test_where_nobody_tells_the_flags_nothing_is_changed(tmp_path: Path) -> None:
    assert not clamps(tmp_path / "nothing", "x86_64")
    (tmp_path / "empty").write_text("processor\t: 0\n", "utf-8")
    assert not clamps(tmp_path / "empty", "x86_64")
