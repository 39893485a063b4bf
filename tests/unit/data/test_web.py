"""Pages of the web, from a real server: politely, within bounds, and nothing of the house."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from feilun.cli.app import run
from feilun.data.sources._decode import decode
from feilun.data.web import Fetched, fetch
from feilun.data.web.guard import ANYWHERE
from feilun.data.web.words import words
from feilun.errors import InvalidData, UsageError
from feilun.project import Workspace
from helpers.site import ARTICLE, LONG, Site, serve

HOME = ("127.0.0.1/32",)
PAGE = ARTICLE.format(charset="utf-8", title="Tea", first=LONG, second="More of it:", third="Last.")
WORDS = f"Tea\n{LONG}\nMore of it: a link and the rest.\nLast."
CHINESE = "茶叶在春天采摘，那时叶子还嫩，早晨还冷。" * 8


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as made:
        yield made


class Lists:
    """Fetches lists into one file, as fast as a test wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "pages.jsonl"

    def __call__(self, *urls: str, private: Sequence[str] = HOME, **options: Any) -> Fetched:
        listed = self.folder / "urls.txt"
        listed.write_text("# a list\n\n" + "\n".join(urls) + "\n", "utf-8")
        options = {"delay": 0.0, "seconds": 5.0, **options}
        return fetch(listed, self.out, private=private, **options)

    @property
    def rows(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]


@pytest.fixture
def get(tmp_path: Path) -> Lists:
    return Lists(tmp_path)


def _why(fetched: Fetched) -> list[str]:
    return [one["code"].removeprefix("web.") for one in fetched.failed]


def test_a_page_becomes_a_row(site: Site, get: Lists) -> None:
    url = site.page("/tea", PAGE)
    assert get(url + "#part", contact="https://example.org/about").written == 1
    [row] = get.rows
    assert row["url"] == url
    assert (row["title"], row["text"]) == ("Tea", WORDS)
    assert row["fetched"].endswith("+00:00")
    agent = site.asked[-1][2]["User-Agent"]
    assert agent.startswith("feilun/")
    assert agent.endswith("(+https://example.org/about)")
    assert "Cookie" not in site.asked[-1][2]


def test_the_rows_are_data(site: Site, get: Lists, tmp_path: Path) -> None:
    urls = [site.page(f"/{n}", PAGE.replace("Last", f"Last {n}")) for n in range(12)]
    get(*urls)
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("pages")
        assert project.add_corpus(get.out).rows == 12


def test_robots_are_respected(site: Site, get: Lists) -> None:
    site.robots = (
        "User-agent: *\nDisallow: /private\nAllow: /private/open$\n\nUser-agent: other\nDisallow: /"
    )
    urls = [site.page(path, PAGE) for path in ("/a", "/private/x", "/private/open")]
    fetched = get(*urls)
    assert fetched.written == 2
    assert _why(fetched) == ["robots"]
    assert "/private/x" not in site.paths()
    assert site.paths().count("/robots.txt") == 1


def test_robots_by_our_name(site: Site, get: Lists) -> None:
    site.robots = "User-agent: feilun\nDisallow: /\n\nUser-agent: *\nAllow: /"
    assert _why(get(site.page("/a", PAGE))) == ["robots"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_where_robots_cannot_be_had_nothing_is_read(site: Site, get: Lists, status: int) -> None:
    site.robots = status
    assert _why(get(site.page("/a", PAGE))) == ["no_robots"]
    assert site.paths() == ["/robots.txt"]


def test_where_a_redirect_leads_is_asked_too(site: Site, get: Lists) -> None:
    site.robots = "User-agent: *\nDisallow: /private"
    site.page("/private/x", PAGE)
    good = site.moved("/b", "/c?d=茶 e".encode().decode("latin-1"), 308)
    site.page("/c?d=%E8%8C%B6%20e", PAGE)
    fetched = get(site.moved("/a", "/private/x"), good)
    assert _why(fetched) == ["robots"]
    [row] = get.rows
    assert row["asked"] == good
    assert row["url"] == site.url("/c?d=茶 e")
    assert get(good).known == 1


def test_redirects_end(site: Site, get: Lists) -> None:
    site.moved("/b", "/a")
    assert _why(get(site.moved("/a", "/b"))) == ["redirects"]
    assert len(site.paths()) < 10


@pytest.mark.parametrize(
    "to", ["http://127.0.0.2:{port}/x", "http://localhost.:1/", "file:///etc/passwd", "gopher://a/"]
)
def test_redirects_lead_nowhere_else(site: Site, get: Lists, to: str) -> None:
    private = ("127.0.0.1/32",)
    fetched = get(site.moved("/a", to.format(port=site.port)), private=private)
    # localhost is allowed where it is 127.0.0.1 alone; then nothing answers at port 1.
    assert _why(fetched)[0] in ("private", "scheme", "no_robots", "no_host")
    assert fetched.written == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "0.0.0.0",
        "169.254.169.254", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "2130706433", "0x7f.1", "[fe80::1]", "[fd00::1]", "224.0.0.1", "100.64.0.1",
    ],
)  # fmt: skip
def test_addresses_of_the_house_are_refused(site: Site, get: Lists, host: str) -> None:
    fetched = get(site.url("/a", host), private=())
    assert _why(fetched)[0] in ("private", "no_host")
    assert site.asked == []


def test_other_schemes_are_refused(get: Lists, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text(PAGE)
    listed = [f"file://{tmp_path}/secret.html", "ftp://example.org/a", "no address", "http://"]
    listed += ["http://user:password@example.org/", "http://[::1", "javascript:alert(1)"]
    fetched = get(*listed, private=ANYWHERE)
    assert len(fetched.failed) == len(listed)
    assert set(_why(fetched)) == {"scheme", "bad_url"}


def test_a_page_has_its_bounds(site: Site, get: Lists) -> None:
    large = site.page("/large", "<p>" + LONG * 1000)
    bomb = site.page("/bomb", "<p>" + "a" * 20_000_000, content_encoding="gzip")
    packed = site.page("/packed", PAGE, content_encoding="gzip")
    strange = site.page("/strange", PAGE, content_encoding="br")
    urls = [large, bomb, packed, strange, site.url("/endless"), site.url("/cut"), site.url("/none")]
    fetched = get(*urls, max_bytes=50_000)
    assert _why(fetched) == ["large", "large", "broken", "large", "broken", "status"]
    assert get.rows[0]["text"] == WORDS


def test_a_page_that_drips_is_given_up(site: Site, get: Lists) -> None:
    fetched = get(site.url("/drip"), site.page("/a", PAGE), seconds=1.0)
    assert _why(fetched) == ["slow"]
    assert fetched.written == 1


def test_other_kinds_are_not_read(site: Site, get: Lists) -> None:
    picture = site.page("/a.png", b"\x89PNG" * 100, "image/png")
    text = site.page("/a.txt", "plain words", "text/plain; charset=utf-8")
    fetched = get(picture, site.page("/x", PAGE, "application/json"), text, site.page("/e", "<p>"))
    assert _why(fetched) == ["kind", "kind", "no_words"]
    assert get.rows[0]["text"] == "plain words"


@pytest.mark.parametrize(
    ("said", "named", "encoding"),
    [
        ("text/html; charset=gb2312", "gb2312", "gb18030"),
        ("text/html", "gbk", "gb18030"),
        ("text/html", "", "gb18030"),
        ("text/html; charset=utf-8", "utf-8", "gb18030"),  # both of them wrong
        ("text/html; charset=nonsense", "utf-8", "utf-8"),
        ("text/html", "", "utf-16"),
        ("text/html; charset=big5", "", "big5"),
    ],
)
def test_encodings(site: Site, get: Lists, said: str, named: str, encoding: str) -> None:
    text = CHINESE if encoding != "big5" else "茶葉在春天採摘" * 30
    page = ARTICLE.format(charset=named, title="茶", first=text, second="x", third="y")
    get(site.page("/a", page.encode(encoding), said))
    assert text in get.rows[0]["text"]
    assert get.rows[0]["title"] == "茶"


def test_western_pages_without_a_word_on_it() -> None:
    text = "<p>Les feuilles ont été cueillies près du château, où l'été fût très beau.</p>"
    assert decode(text.encode("latin-1"), "iso-8859-1") == text
    assert "été" in decode((text * 20).encode("cp1252"))


def test_one_site_is_not_hurried(site: Site, get: Lists) -> None:
    site.robots = "User-agent: *\nCrawl-delay: 0.4"
    get(*(site.page(f"/{n}", PAGE) for n in range(3)), delay=0.1)
    times = [when for when, path, _ in site.asked if path != "/robots.txt"]
    assert all(after - before >= 0.39 for before, after in pairwise(times))
    site.asked.clear()
    site.robots = "User-agent: *\nCrawl-delay: 600"
    assert _why(get(site.page("/late", PAGE))) == ["delay"]


def test_two_sites_take_turns(site: Site, get: Lists) -> None:
    with serve() as other:
        here = [site.page(f"/{n}", PAGE) for n in range(2)]
        there = [other.page(f"/{n}", PAGE) for n in range(2)]
        get(*here, *there)
        assert [row["url"] for row in get.rows] == [here[0], there[0], here[1], there[1]]


def test_it_goes_on_where_it_ended(site: Site, get: Lists) -> None:
    urls = [site.page(f"/{n}", PAGE) for n in range(3)]
    bad = site.url("/later")
    first = get(*urls[:2], bad)
    assert first.failures is not None
    assert "404" in first.failures.read_text("utf-8")
    with get.out.open("a", encoding="utf-8") as stream:
        stream.write('{"url": "http://half')  # killed here
    site.asked.clear()
    site.page("/later", PAGE)
    again = get(*urls, bad)
    assert (again.written, again.known) == (2, 2)
    assert site.paths() == ["/robots.txt", "/2", "/later"]
    assert len(get.rows) == 4
    assert not first.failures.exists()


def test_what_cannot_be_asked(get: Lists, tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        get()
    with pytest.raises(InvalidData):
        fetch(tmp_path / "none.txt", get.out)
    with pytest.raises(UsageError):
        get("http://127.0.0.1/", contact="a\r\nCookie: b")
    get.out.write_text('{"text": "mine"}\n')
    with pytest.raises(InvalidData) as caught:
        get("http://127.0.0.1/")
    assert caught.value.code == "web.other_file"
    assert get.out.read_text() == '{"text": "mine"}\n'


def test_the_main_part_where_a_page_names_it() -> None:
    page = f"<body><div><p>{LONG}</p></div><main><p>{LONG * 4}</p><form>no</form></main>"
    assert words(page) == ("", LONG * 4)
    both = f"<body><div>{'<p>' + LONG + '</p>'}</div><section><p>{LONG}</p></section>"
    assert words(both)[1] == f"{LONG}\n{LONG}"
    assert words("") == ("", "")
    assert words("<b>" * 20_000 + "x" + "</b>" * 20_000)[1] == "x"


def test_the_command(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "urls.txt").write_text(site.page("/a", PAGE))
    words = ["data", "fetch", str(tmp_path / "urls.txt"), "--out", str(tmp_path / "a.jsonl")]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"][0]["code"] == "web.private"
    assert run([*words, "--allow-private", "--delay", "0.1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["written"], printed["failed"]) == (1, [])


def test_the_api_cannot_reach_it() -> None:
    """Who calls the API must not make the server read addresses; `make lint` holds the contract."""
    file = Path(__file__).parents[3] / "pyproject.toml"
    contracts = tomllib.loads(file.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [held] = [one for one in contracts if one["id"] == "web"]
    assert "feilun.api" in held["source_modules"]
    assert held["forbidden_modules"] == ["feilun.data.web"]
    assert held.get("allow_indirect_imports") is None
