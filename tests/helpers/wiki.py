"""Small dumps as a MediaWiki writes them, in two languages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["EN", "ZH", "dump", "page"]

EN = """{{Short description|Hot drink}}
{{Infobox drink
| name = Tea
| image = [[File:Tea.jpg|thumb]]
}}
'''Tea''' is an [[aromatic compound|aromatic]] drink made from the leaves of
''[[Camellia sinensis]]''.<ref name="a">{{cite book|title=Tea & more}}</ref><ref name="a" />
[[File:Cup.jpg|thumb|A cup of [[tea]]]]
== History ==
Tea came from [[China]]&nbsp;– see [https://example.org the page].<!-- {{hidden}} [[ -->
* green tea
* black tea
== Table ==
{| class="wikitable"
! a !! b
|-
| {{nowrap|1}} || 2
|}
== See also ==
[[Category:Tea]]
[[zh:茶]]
"""

ZH = """{{消歧义|茶}}
'''茶'''是以[[茶树|茶树]]叶片冲泡的[[饮料]]。<ref>《茶经》</ref>
[[File:茶.jpg|thumb|一杯茶]]
== 历史 ==
-{zh-hans:信息;zh-hant:資訊;zh-tw:資訊}-来自-{zh-tw:雲南;zh-cn:云南}-。-{H|zh-cn:甲;zh-tw:乙}-
#绿茶
#红茶
== 参考文献 ==
{{reflist}}
[[分类:茶]]
"""


def page(number: int, title: str, text: str, *, ns: int = 0, more: str = "") -> str:
    """One page with one revision."""
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{more}"
        f"<revision><id>{number + 9000}</id><contributor><username>x</username><id>7</id>"
        f"</contributor><model>wikitext</model><format>text/x-wiki</format>"
        f'<text bytes="1" xml:space="preserve">{escape(text)}</text></revision></page>\n'
    )


def dump(file: Path, pages: Iterable[str], head: str = "") -> Path:
    """A whole dump, packed as its name says."""
    import bz2
    import gzip

    text = (
        f'{head}<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">'
        f"<siteinfo><sitename>Wikipedia</sitename></siteinfo>\n{''.join(pages)}</mediawiki>"
    )
    pack = {".bz2": bz2.compress, ".gz": gzip.compress}.get(file.suffix, bytes)
    file.write_bytes(pack(text.encode()))
    return file
