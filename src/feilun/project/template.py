"""The settings file of a new project: what matters first, everything else by its default."""

from __future__ import annotations

from feilun import registry
from feilun.config import ProjectConfig, ProjectSection, describe_faults
from feilun.errors import InvalidSettings
from feilun.messages import t

__all__ = ["project_file"]


def project_file(name: str, task: str, base: str | None) -> str:
    """The text of ``feilun.toml``. Raises `UsageError` for an unknown task,
    `InvalidSettings` for a name that cannot be one."""
    import tomlkit
    from pydantic import ValidationError

    registry.load("tasks", task)
    try:
        section = ProjectSection(name=name, task=task, base=base)
    except ValidationError as error:
        faults = describe_faults(error, prefix="project.")
        raise InvalidSettings("project.bad_name", name=name, faults=faults) from None
    config = ProjectConfig(project=section)
    document = tomlkit.document()
    document.add(tomlkit.comment(t("project.file_head")))
    project = tomlkit.table()
    for key, value in section.model_dump(exclude_none=True).items():
        project.add(key, value)
    document.add("project", project)
    training = tomlkit.table()
    training.add("method", config.training.method)
    training["method"].comment(t("project.file_method"))
    document.add("training", training)
    serving = tomlkit.table()
    serving.add("price_per_1000", config.serving.price_per_1000)
    serving["price_per_1000"].comment(t("project.file_price"))
    serving.add("currency", config.serving.currency)
    document.add("serving", serving)
    return tomlkit.dumps(document)
