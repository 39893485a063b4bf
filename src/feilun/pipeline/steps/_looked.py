"""What an audit looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.data.audit.staging import Columns
from feilun.store.dataset import Dataset
from feilun.tasks.base import Processor, TaskBase

__all__ = ["Looked"]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked at. `data` are the rows; `divided` tells whether their splits mean something;
    `bad` unusable rows beside them by `reasons`; `left_out` what the version says it was made
    without; `columns` of the source. `processor` is that of the base, called `base`.

    `by_class`: the rows lie in folders of their classes, so that their order tells nothing new.

    `add`, `clean` and `run` begin the commands that mend; `suspects` is the file for likely wrong
    labels.
    """

    data: Dataset
    task: TaskBase
    settings: Mapping[str, Any]
    divided: bool
    suspects: Path
    clean: str = "feilun data clean"
    run: str = "feilun run"
    add: str = ""
    bad: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    columns: Columns | None = None
    processor: Processor | None = None
    base: str = ""
    scratch: Path | None = None
    seed: int = 0
    by_class: bool = False
