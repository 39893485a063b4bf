"""The console's pages in a browser that a test drives."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from helpers.console import Console

__all__ = ["ANOTHER", "FAULTS", "enter", "open_page", "press"]

ANOTHER = """before => { const now = document.querySelector("form.review [name=id]");
  return !now || now.value !== before; }"""
"""Whether a review shows another answer than the one with this id."""

FAULTS = """() => {
  const faults = [], root = document.documentElement;
  const scrolls = node => { for (let up = node; up; up = up.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false; };
  if (root.scrollWidth > root.clientWidth + 1) faults.push("the page is wider than the window");
  for (const node of document.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (box.width && box.right > root.clientWidth + 1 && !scrolls(node))
      faults.push("sticks out: " + node.outerHTML.slice(0, 80));
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(node.tagName) && node.type !== "hidden"
        && !node.labels.length && !node.ariaLabel) faults.push("no label: " + node.outerHTML);
    if (/^(BUTTON|A)$/.test(node.tagName) && !node.textContent.trim() && !node.ariaLabel)
      faults.push("no name: " + node.outerHTML.slice(0, 80));
    if (node.tagName === "IMG" && !node.alt) faults.push("no alt: " + node.outerHTML.slice(0, 80));
  }
  return faults;
}"""
"""What of a page sticks out, or has no name for those who hear it."""


def open_page(browser: Browser, told: list[str], **options: Any) -> Page:
    """An empty page, whose complaints are `told`."""
    page = browser.new_context(**options).new_page()
    page.on("console", lambda m: told.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.set_default_timeout(240_000)
    return page


def enter(page: Page, served: Console) -> None:
    """Signs the page in by a link."""
    page.goto(f"{served.address}/enter?link={served.access.link()}")
    page.click("main button")


def press(page: Page, words: str) -> None:
    """Presses the button with these words, and waits for what comes."""
    page.get_by_role("button", name=words, exact=True).first.click()
    page.wait_for_load_state()
