"""Coming in and going out."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from feilun import messages
from feilun.errors import Unauthorized
from feilun.web.access import EVERYBODY, REVIEWERS, Session
from feilun.web.guard import COOKIE
from feilun.web.view import Page, View

__all__ = ["PAGES"]


def _login(view: View) -> Response:
    target = view.query("next") or view.field("next", "/")
    return view.render("login.html", next=target)


def _sign_in(view: View) -> Response:
    secret, session = view.access.sign_in(
        view.field("name"), view.typed.get("password", ""), _address(view)
    )
    return _signed_in(view, secret, session, view.field("next", "/"))


def _sign_in_by_key(view: View) -> Response:
    address = _address(view)
    view.access.throttle(address)
    try:
        key = view.workspace.held(view.field("key"))
    except Unauthorized:
        view.access.failed(address)
        raise
    customer = view.workspace.store.catalog.customer(key.customer)
    secret, session = view.access.admit(customer.id, customer.name, key.id)
    return _signed_in(view, secret, session, "/")


def _enter(view: View) -> Response:
    # A link is used up by a press of the button: programs that look at links before people do
    # would else use it up.
    return view.render("enter.html", link=view.query("link"))


def _entered(view: View) -> Response:
    secret, session = view.access.enter(view.field("link"))
    people = view.access.people()
    fresh = people.get(session.who, {}).get("invited", False)
    return _signed_in(view, secret, session, "/password" if fresh else "/")


def _signed_in(view: View, secret: str, session: Session, target: str) -> Response:
    safe = target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
    view.workspace.store.catalog.note("console.sign_in", session.who, {"role": session.role})
    response = RedirectResponse(safe, 303)
    response.set_cookie(
        COOKIE,
        secret,
        httponly=True,
        samesite="lax",
        secure=view.request.url.scheme == "https",
    )
    return response


def _leave(view: View) -> Response:
    view.access.leave(view.request.cookies.get(COOKIE))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _password(view: View) -> Response:
    return view.render("password.html")


def _set_password(view: View) -> Response:
    view.access.set_password(view.who.who, view.typed.get("password", ""))
    return view.go("/", messages.t("console.password_set", view.lang))


def _address(view: View) -> str:
    client = view.request.client
    return client.host if client else ""


PAGES = (
    Page("GET", "/login", _login, ()),
    Page("POST", "/login", _sign_in, (), again=_login),
    Page("POST", "/login/key", _sign_in_by_key, (), again=_login),
    Page("GET", "/enter", _enter, ()),
    Page("POST", "/enter", _entered, (), again=_login),
    Page("POST", "/logout", _leave, EVERYBODY),
    Page("GET", "/password", _password, REVIEWERS),
    Page("POST", "/password", _set_password, REVIEWERS, again=_password),
)
