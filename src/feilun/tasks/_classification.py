"""What all classifiers share: the family of their answers."""

from __future__ import annotations

from feilun.families.classes import CLASSES
from feilun.tasks.base import TaskBase

__all__ = ["Classification"]


class Classification(TaskBase):
    """A task that answers with one of the schema's labels."""

    family = CLASSES
