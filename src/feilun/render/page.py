"""Templates of the pages that open offline and speak both languages: one house, one look.

Every page fills the blocks of ``page.html``, which this package has; other rooms bring templates of
their own.
"""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

__all__ = ["template"]


@cache
def template(name: str, package: str) -> Template:
    """The template `name` in the folder ``templates`` of `package`. Whatever comes from data is
    escaped, and a value that is missing is an error."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in (package, "feilun.render")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
