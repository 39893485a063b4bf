"""The near-duplicates among the contents of one build."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from feilun.data._gather import Gathered
from feilun.data._ticker import Ticker
from feilun.data.near import Grouper
from feilun.store.arrow import numbers
from feilun.store.dataset import INPUT

if TYPE_CHECKING:
    from feilun.data._contents import Contents

__all__ = ["near_contents"]


def near_contents(
    gathered: Gathered,
    contents: Contents,
    kinds: Mapping[str, str],
    folder: Path,
    tick: Ticker,
) -> np.ndarray | None:
    """Which content leads the near-duplicates of each, int64 (contents,): the one that came first,
    or itself. Contents without a label do not lead. None for inputs that are not texts.

    The texts are read once more, where the first pass left them; files wait in `folder`.
    """
    if any(kind != "text" for kind in kinds.values()):
        return None
    alive = np.flatnonzero(contents.label >= 0)
    order = alive[np.argsort(contents.first[alive])]
    asked = np.zeros(len(gathered.rows), bool)
    asked[contents.first[order]] = True
    tick.begin("near", len(asked), "rows", None)
    end = 0
    with closing(Grouper(folder)) as grouper:
        for batch in gathered.batches():
            begin, end = end, end + batch.num_rows
            chosen = np.flatnonzero(asked[begin:end])
            if not len(chosen):
                continue
            cells = [batch.column(INPUT + name).take(numbers(chosen)).to_pylist() for name in kinds]
            if len(cells) == 1:
                grouper.add([text or "" for text in cells[0]])
            else:
                grouper.add(["\n".join(map(str, row)) for row in zip(*cells, strict=True)])
            tick(end)
        led = grouper.finish()
        tick(len(asked), last=True)
    near = np.arange(len(contents.first))
    near[order] = order[led]
    return near
