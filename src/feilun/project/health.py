"""Whether the installation and the workspace are well, and what to do where they are not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from feilun.errors import FeilunError
from feilun.messages import t
from feilun.project.scope import WorkspaceScope
from feilun.store.check import check as check_store
from feilun.store.ledger_records import CheckResult
from feilun.table import Result, Table

__all__ = ["Health", "check"]

_LEAST_MEMORY = 2 << 30


@dataclass(frozen=True)
class Health(Result):
    """One line a check; `ok` when all of them are well."""

    ok: bool
    checks: Sequence[CheckResult]

    def tables(self) -> Sequence[Table]:
        rows = [["✓" if c.ok else "✗", c.name, c.detail, c.fix] for c in self.checks]
        columns = ["", t("project.check"), t("project.found"), t("project.fix")]
        title = t("project.healthy") if self.ok else t("project.unhealthy")
        return (Table(title, columns, rows),)


def check(scope: WorkspaceScope) -> Health:
    """Looks at Python, memory, the packages that training needs, the store, and every project."""
    checks = [*_machine(), *_packages(), *_workspace(scope)]
    return Health(all(c.ok for c in checks), checks)


def _machine() -> Iterator[CheckResult]:
    import psutil

    version = platform.python_version()
    new_enough = sys.version_info >= (3, 11)
    yield CheckResult("Python", new_enough, version, "" if new_enough else t("project.fix_python"))
    free = psutil.virtual_memory().available
    enough = free >= _LEAST_MEMORY
    detail = t("project.memory_free", free=f"{free / 2**30:.1f}", cores=os.cpu_count())
    fix = "" if enough else t("project.fix_memory")
    yield CheckResult(t("project.memory"), enough, detail, fix)


def _packages() -> Iterator[CheckResult]:
    for name in ("openvino", "scikit-learn", "pyarrow", "dbos"):
        yield _package(name, needed=True, fix=t("project.fix_base"))
    for name in ("torch", "transformers", "peft", "nncf"):
        yield _package(name, needed=False, fix=t("project.fix_train"))


def _package(name: str, needed: bool, fix: str) -> CheckResult:
    try:
        return CheckResult(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        detail = t("project.package_missing")
        return CheckResult(name, not needed, detail, fix)


def _workspace(scope: WorkspaceScope) -> Iterator[CheckResult]:
    yield from check_store(scope.store)
    for project in scope.projects():
        try:
            project.config()
        except FeilunError as error:
            yield CheckResult(str(project.file), False, error.message(), error.hint())
        else:
            yield CheckResult(str(project.file), True, t("project.settings_fit"))
