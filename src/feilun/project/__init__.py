"""The verbs: a workspace, its projects, their models. CLI, HTTP and Python all speak through it.

>>> import feilun
>>> reviews = feilun.Workspace("shop").init("reviews", task="text-classification")  # doctest: +SKIP
>>> reviews.add("reviews.csv")  # doctest: +SKIP
>>> reviews.run()  # doctest: +SKIP
>>> reviews.predict("will buy again")  # doctest: +SKIP
"""

from __future__ import annotations

from feilun.project.project import Model, Project
from feilun.project.workspace import Workspace

__all__ = ["Model", "Project", "Workspace"]
