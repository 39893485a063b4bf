"""Who may enter the console and see what: roles, links, passwords, sessions, forged forms."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import Conflict, InvalidSettings, RateLimited, Unauthorized
from feilun.web import access as access_module
from feilun.web.access import ROLES, Access, Role
from feilun.web.app import pages
from helpers.console import Console, filled


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_others(
    shop: Console, names: dict[str, str], role: Role
) -> None:
    with shop.signed_in(role, customer=names["customer"] if role == "customer" else None) as http:
        for page in pages():
            if not page.roles or page.live or page.path == "/logout":
                continue
            path = filled(page, names)
            if role not in page.roles:
                assert http.request(page.method, path).status_code == 403, path
            elif page.method == "GET":
                assert http.get(path).status_code in (200, 303, 404), path


def test_nobody_sees_anything_without_signing_in(shop: Console, names: dict[str, str]) -> None:
    with shop.client() as http:
        for page in pages():
            if page.roles:
                answer = http.request(page.method, filled(page, names))
                assert answer.status_code == 303, page.path
                assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
    ],
    ids=lambda value: str(value),
)
def test_a_form_of_another_site_is_refused(
    shop: Console, headers: dict[str, str], status: int
) -> None:
    with shop.signed_in("owner") as http:
        if "origin" in headers:
            del http.headers["sec-fetch-site"]
        name = f"customer {headers}"
        answer = http.post("/customers", data={"name": name}, headers=headers)
    assert answer.status_code == status
    known = shop.workspace.store.catalog.customer_named(name)
    assert (known is not None) == (status == 303)


def test_a_foreign_name_reads_nothing(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        answer = http.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert "reviews" not in answer.text


def test_every_answer_carries_the_policy(shop: Console) -> None:
    with shop.signed_in("owner") as http:
        for path in ("/", "/login", "/static/console.js", "/nothing"):
            policy = http.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        report = http.get("/p/reviews/versions/reviews@1/report/1")
        assert report.status_code == 200
        assert report.headers["content-security-policy"].startswith("sandbox")


def test_a_link_opens_once_and_its_cookie_is_no_scripts(shop: Console) -> None:
    secret = shop.access.link()
    with shop.client() as http:
        assert http.get("/enter", params={"link": secret}).status_code == 200  # uses nothing up
        answer = http.post("/enter", data={"link": secret})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
    with shop.client() as http:
        assert http.post("/enter", data={"link": secret}).status_code == 401


def test_nobody_is_sent_to_another_site_after_signing_in(shop: Console) -> None:
    shop.access.invite("Mei", "operator")
    shop.access.set_password("Mei", "long enough to be one")
    for target in ("https://evil.example", "//evil.example", "/\\evil.example"):
        data = {"name": "Mei", "password": "long enough to be one", "next": target}
        with shop.client() as http:
            assert http.post("/login", data=data).headers["location"] == "/"


def test_a_session_ends_when_nobody_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(tmp_path)
    secret, _ = access.enter(access.link())
    assert access.session(secret)
    assert Access(tmp_path).session(secret)  # a console that is started again knows it
    now = time.time()
    monkeypatch.setattr(access_module.time, "time", lambda: now + 13 * 3600)
    assert access.session(secret) is None


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    access = Access(tmp_path)
    link = access.link()
    secret, _ = access.enter(access.link())
    access.invite("Mei", "reviewer")
    access.set_password("Mei", "long enough to be one")
    kept = (tmp_path / "console.json").read_text()
    for one in (link, secret, "long enough"):
        assert one not in kept
    assert (tmp_path / "console.json").stat().st_mode & 0o077 == 0


def test_passwords_are_guessed_ever_more_slowly(tmp_path: Path) -> None:
    access = Access(tmp_path)
    access.invite("Mei", "reviewer")
    access.set_password("Mei", "long enough to be one")
    for _ in range(5):
        with pytest.raises(Unauthorized):
            access.sign_in("Mei", "wrong", "10.0.0.1")
    with pytest.raises(RateLimited):
        access.sign_in("Mei", "long enough to be one", "10.0.0.1")
    assert access.sign_in("Mei", "long enough to be one", "10.0.0.2")


@pytest.mark.parametrize(
    ("name", "role", "error"),
    [
        ("", "reviewer", InvalidSettings),
        ("a" * 61, "reviewer", InvalidSettings),
        ("Mei", "customer", InvalidSettings),
        ("Mei", "king", InvalidSettings),
        ("Known", "reviewer", Conflict),
    ],
)
def test_people_who_cannot_be_invited(
    tmp_path: Path, name: str, role: Any, error: type[Exception]
) -> None:
    access = Access(tmp_path)
    access.invite("Known", "reviewer")
    with pytest.raises(error):
        access.invite(name, role)


def test_who_is_removed_is_out_at_once(tmp_path: Path) -> None:
    access = Access(tmp_path)
    secret, _ = access.enter(access.invite("Mei", "reviewer"))
    access.remove("Mei")
    assert access.session(secret) is None
