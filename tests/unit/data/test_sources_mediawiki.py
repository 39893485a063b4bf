"""Dumps of Wikipedia: the words of its articles, in flat memory, and nothing that attacks."""

from __future__ import annotations

import bz2
import time
import tracemalloc
from pathlib import Path

import pytest

from feilun.data.sources import Options, Source, format_of, open_tables
from feilun.data.sources import mediawiki as reader
from feilun.data.sources._wikitext import plain
from feilun.data.sources.base import BadRow
from feilun.errors import InvalidData
from feilun.types import Row
from helpers.wiki import EN, ZH, dump, page

TEA = (
    "Tea is an aromatic drink made from the leaves of\nCamellia sinensis.\nHistory\n"
    "Tea came from China – see the page.\ngreen tea\nblack tea"
)
CHA = "茶是以茶树叶片冲泡的饮料。\n历史\n信息来自云南。\n绿茶\n红茶"


def _rows(file: Path) -> list[Row | BadRow]:
    [table] = open_tables(Source(file, Options()))
    return list(table.rows())


def test_what_a_reader_reads() -> None:
    assert plain(EN) == TEA
    assert plain(ZH) == CHA


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a {{b|{{c}}|d}} e", "a  e"),
        ("a {{never closed", "a never closed"),
        ("closed }} by nobody ]]", "closed  by nobody"),
        ("[[:Category:Tea]] and [[en:Tea]] and [[wikt:tea|tea]]", "Category:Tea and  and tea"),
        ("a<br/>b <b>c</b> x<y", "a\nb c x<y"),
        ("#REDIRECT [[Tea]]", ""),
        ("#重定向 [[茶]]", ""),
        ("&lt;kept&gt; &amp; __NOTOC__", "<kept> &"),
        ("== A ==\n=== B ===\nc\n== D ==", "A\nB\nc"),
        ("x <math>a{{b</math> y }}", "x  y"),
    ],
)
def test_a_piece(text: str, words: str) -> None:
    assert plain(text) == words


@pytest.mark.parametrize(
    "piece", ["{{", "[[a", "<ref>", "{{]]", "<!--", "[http://a ", "-{a|", "'''", "<ref ", "== a\n"]
)
@pytest.mark.slow
def test_a_page_made_to_be_slow_is_not(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    plain(text + "]]" * 100_000)
    assert time.process_time() - began < 10  # its square would take hours


@pytest.mark.parametrize("name", ["wiki.xml", "wiki.xml.bz2", "wiki.xml.gz", "oddly.named"])
def test_articles_alone(tmp_path: Path, name: str) -> None:
    pages = [
        page(1, "Tea", EN),
        page(2, "茶", ZH),
        page(3, "Talk:Tea", "words", ns=1),
        page(4, "Cha", "#REDIRECT [[Tea]]", more='<redirect title="Tea" />'),
        page(5, "Module:Tea", "return 1").replace("wikitext", "Scribunto"),
        page(6, "Nothing", "{{stub}}"),
    ]
    file = dump(tmp_path / name, pages)
    assert format_of(file) == "mediawiki"
    assert [row.values for row in _rows(file)] == [
        {"id": "1", "title": "Tea", "text": TEA},
        {"id": "2", "title": "茶", "text": CHA},
    ]


def test_the_last_revision_stands(tmp_path: Path) -> None:
    old = page(1, "Tea", "old words")
    new = "<revision><id>8</id><model>wikitext</model><text>new words</text></revision></page>"
    file = dump(tmp_path / "a.xml", [old.replace("</page>", new)])
    assert [row.values["text"] for row in _rows(file)] == ["new words"]


def test_several_streams_in_one_file(tmp_path: Path) -> None:
    """As pages-articles-multistream is packed."""
    text = dump(tmp_path / "a.xml", [page(1, "Tea", EN), page(2, "茶", ZH)]).read_bytes()
    cut = text.index(b"<page>", text.index(b"<page>") + 1)
    file = tmp_path / "b.xml.bz2"
    file.write_bytes(bz2.compress(text[:cut]) + bz2.compress(text[cut:]))
    assert len(_rows(file)) == 2


def test_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{levels}]>'
    file = dump(tmp_path / "a.xml", [page(1, "Tea", "x").replace(">x<", ">&l9;<")], head)
    with pytest.raises(InvalidData) as caught:
        _rows(file)
    assert caught.value.code == "wiki.doctype"
    file = dump(tmp_path / "b.xml", [], '<!DOCTYPE x SYSTEM "file:///etc/passwd">')
    with pytest.raises(InvalidData) as caught:
        _rows(file)
    assert caught.value.code == "wiki.doctype"


@pytest.mark.parametrize("suffix", [".xml", ".xml.bz2", ".xml.gz"])
def test_a_dump_that_was_cut_short(tmp_path: Path, suffix: str) -> None:
    pages = [page(n, f"Tea {n}", f"{EN} {n}") for n in range(3000)]
    whole = dump(tmp_path / f"a{suffix}", pages)
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(InvalidData) as caught:
        _rows(whole)
    assert caught.value.code == "data.damaged"


def test_a_page_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_PAGE", 1000)
    file = dump(tmp_path / "a.xml", [page(1, "Long", "a " * 600), page(2, "Tea", "short")])
    long, short = _rows(file)
    assert isinstance(long, BadRow)
    assert long.code == "wiki.long"
    assert short.values["text"] == "short"


@pytest.mark.slow
def test_memory_is_that_of_a_page(tmp_path: Path) -> None:
    file = dump(tmp_path / "a.xml.bz2", (page(n, f"T{n}", f"{n} {EN * 20}") for n in range(600)))
    [table] = open_tables(Source(file, Options()))
    tracemalloc.start()
    assert sum(1 for _ in table.rows()) == 600  # some 10 MB of text
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_other_packed_files_are_still_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "a.csv.bz2"
    file.write_bytes(bz2.compress(b"a,b\n1,2\n"))
    with pytest.raises(InvalidData) as caught:
        format_of(file)
    assert caught.value.code == "data.packed"
