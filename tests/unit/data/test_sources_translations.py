"""Translation memories and catalogues: what is read, what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from feilun.data.sources import BadRow, LeftOut, Source, format_of, open_tables
from feilun.errors import InvalidData
from feilun.types import Row

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
  <header creationtool="x" srclang="en-US" segtype="sentence" adminlang="en"/>
  <body>
    <tu tuid="1">
      <note>a remark</note>
      <tuv xml:lang="zh-CN"><prop type="x">p</prop><seg>打开文件</seg></tuv>
      <tuv xml:lang="en-US"><seg>Open the file</seg></tuv>
    </tu>
    <tu>
      <tuv xml:lang="en-US"
        ><seg>Press <bpt i="1">&lt;b&gt;</bpt>Save<ept i="1">&lt;/b&gt;</ept> <ph x="1"/> now</seg>
      </tuv>
      <tuv xml:lang="zh-CN"><seg>立即按<hi>保存</hi><ph x="1"/></seg></tuv>
    </tu>
    <tu><tuv xml:lang="en-US"><seg>Alone</seg></tuv></tu>
  </body>
</tmx>
"""


def _file(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


def _rows(file: Path) -> tuple[tuple[str, ...], list[Any]]:
    (table,) = open_tables(Source(file))
    return table.columns, list(table.rows())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_memory_has_a_column_for_each_language(tmp_path: Path, encoding: str) -> None:
    text = TMX if encoding != "utf-16" else TMX.replace("UTF-8", "UTF-16")
    file = _file(tmp_path, "memory.tmx", text, encoding)
    assert format_of(file) == "tmx"
    columns, rows = _rows(file)
    assert columns == ("en-US", "zh-CN")  # that of the originals first, whatever stands first
    assert rows[0].values == {"en-US": "Open the file", "zh-CN": "打开文件"}
    assert rows[1].values["en-US"] == 'Press <b>Save</b> <ph x="1"/> now'
    assert rows[1].values["zh-CN"] == '立即按保存<ph x="1"/>'
    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[2].values == {"en-US": "Alone"}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("</tmx>", "", "data.damaged"),
        ("<seg>Alone", "<seg><x>Alone", "data.damaged"),
        ('SYSTEM "tmx14.dtd"', '[<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]', "formats.xml_entities"),
    ],
)
def test_a_broken_memory_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    file = _file(tmp_path, "memory.tmx", TMX.replace(old, new))
    with pytest.raises(InvalidData) as caught:
        _rows(file)
    assert caught.value.code == code


PO = r"""# A program.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"

#: main.c:1
msgid "Cannot open \"%s\"\n"
msgstr "无法打开“%s”\n"

#, c-format
msgid ""
"a long "
"text"
msgstr ""
"很长的"
"文本"

msgctxt "menu"
msgid "Open"
msgstr "打开"

#, fuzzy
msgid "Close"
msgstr "关"

msgid "Later"
msgstr ""

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d 个文件"

msgid "one day"
msgid_plural "%d days"
msgstr[0] "ein Tag"
msgstr[1] "%d Tage"

#~ msgid "gone"
#~ msgstr "没了"
what is this
"""


def test_a_catalogue_is_read_entry_by_entry(tmp_path: Path) -> None:
    file = _file(tmp_path, "zh.po", PO)
    assert format_of(file) == "po"
    columns, rows = _rows(file)
    assert columns == ("msgid", "msgstr", "msgctxt")
    good = [row for row in rows if type(row) is Row]
    assert [(row.values["msgid"], row.values["msgstr"]) for row in good] == [
        ('Cannot open "%s"\n', "无法打开“%s”\n"),
        ("a long text", "很长的文本"),
        ("Open", "打开"),
        ("%d files", "%d 个文件"),
        ("%d days", "%d Tage"),
        ("one day", "ein Tag"),
    ]
    assert good[2].values["msgctxt"] == "menu"
    assert good[0].number == 7
    left = [row.values["msgid"] for row in rows if isinstance(row, LeftOut)]
    assert left == ["Close", "Later"]
    assert [row.code for row in rows if isinstance(row, BadRow)] == ["formats.po_line"]
    assert len(rows) == 9


def test_a_table_with_a_word_of_a_catalogue_is_none(tmp_path: Path) -> None:
    assert format_of(_file(tmp_path, "a.csv", "msgid,msgstr\nOpen,打开\n")) == "delimited"
    page = "<!doctype html><html><body><table><tr><td>a</td></tr></table></body></html>"
    assert format_of(_file(tmp_path, "a.html", page)) == "html"
