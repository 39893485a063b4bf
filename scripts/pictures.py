"""Takes the pictures of the console that the guides show: docs/pictures/NAME.LANG.png.

    .venv/bin/python scripts/pictures.py            (or: make pictures)

A small shop is made for each language from the reviews of the demonstration, served, called and
looked at in Chromium. Nothing in a picture is drawn by hand.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from feilun import Client, messages
from feilun.demo.sample import prepare
from feilun.messages import Language
from feilun.project import Project, Workspace
from feilun.serving.ports import bind
from feilun.web import run
from feilun.web.access import Access

OUT = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH, HEIGHT = 1120, 760
COLOURS = 64
"""Of a picture: flat pages need no more, and weigh a fifth."""
CUSTOMERS: dict[Language, str] = {"en": "Lighthouse Books", "zh": "灯塔书店"}
_CALLS = 60


def main() -> None:
    """All pictures, in all languages."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        sys.exit("pictures need Chromium on the PATH")
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for lang in messages.LANGUAGES:
            with shop(lang) as (project, address, access):
                page = browser.new_context(
                    locale=lang, viewport={"width": WIDTH, "height": HEIGHT}
                ).new_page()
                page.goto(f"{address}/enter?link={access.link()}")
                page.click("main button")
                _take(page, address, project.name, lang)
        browser.close()


@contextmanager
def shop(lang: Language) -> Iterator[tuple[Project, str, Access]]:
    """A project with a live version and a customer's calls, the console's address and its log."""
    messages.use(lang)
    with tempfile.TemporaryDirectory() as folder, Workspace(folder, lang=lang) as workspace:
        sample = prepare("text-classification", Path(folder) / "rows", lang)
        project = workspace.init("评价" if lang == "zh" else "reviews")
        settings = project.file.read_text("utf-8")
        paid = f'[serving]\nmachine_per_hour = 0.05\ncurrency = "{_CURRENCIES[lang]}"'
        settings = re.sub(r"(?m)^(currency|machine_per_hour) = .*\n", "", settings)
        project.file.write_text(settings.replace("[serving]", paid), "utf-8")
        project.add(sample.training, columns=sample.columns)
        project.run(method="linear")
        project.audit()
        project.train(method="linear", overrides={"task.feature_bits": 12})
        plan = Path(folder) / "basic.toml"
        plan.write_text(_PLAN.format(currency=_CURRENCIES[lang]), "utf-8")
        workspace.plans.set(plan)
        workspace.customers.add(CUSTOMERS[lang], plan="basic")
        key = workspace.create_key(CUSTOMERS[lang]).secret
        stop, ready, found = threading.Event(), threading.Event(), []

        def told(address: str, access: Access) -> None:
            found.append((address, access))
            ready.set()

        with bind("127.0.0.1", 0) as free:
            port = free.getsockname()[1]
        thread = threading.Thread(
            target=lambda: run(workspace, port=0, api_port=port, on_ready=told, stop=stop)
        )
        thread.start()
        try:
            ready.wait(60)
            while not workspace.store.catalog.servers():
                time.sleep(0.2)
            with Client(f"http://127.0.0.1:{port}", key) as client:
                for row in _texts(sample.testing, sample.text):
                    client.predict([row], model=project.name)
            yield (project, *found[0])
        finally:
            stop.set()
            thread.join(60)


_CURRENCIES: dict[Language, str] = {"en": "EUR", "zh": "CNY"}
_PLAN = """currency = "{currency}"

[[rates]]
unit = "inputs"
tiers = [{{ per_1000 = "0.80" }}]
"""


def _texts(file: Path, column: str | None) -> list[str]:
    import csv

    with file.open(encoding="utf-8", newline="") as opened:
        return [str(row[column or "text"]) for row in csv.DictReader(opened)][:_CALLS]


def _take(page: Page, address: str, project: str, lang: Language) -> None:
    base = f"{address}/p/{project}"
    for name, url in (
        ("home", f"{address}/"),
        ("rows", f"{base}/data?suspect=yes#rows"),
        ("findings", f"{base}/data/audit"),
        ("version", f"{base}/versions/{project}@1"),
        ("review", f"{base}/review"),
        ("money", f"{address}/money"),
        ("try", f"{base}/try"),
    ):
        page.set_viewport_size({"width": WIDTH, "height": _TALL.get(name, HEIGHT)})
        page.goto(url)
        if name == "try":
            page.fill("textarea", _ASKED[lang])
            page.select_option("[name=beside]", index=1)
            page.click("main form button")
            page.wait_for_load_state()
        _keep(page.screenshot(), OUT / f"{name}.{lang}.png")


_TALL = {"try": 1120}
"""Pages that need more than the usual height."""
_ASKED: dict[Language, str] = {
    "en": "arrived broken, the shop never answered",
    "zh": "到货就坏了，客服一直不回复",
}


def _keep(taken: bytes, file: Path) -> None:
    with Image.open(BytesIO(taken)) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(file, optimize=True)
    print(file.relative_to(OUT.parents[1]), file.stat().st_size)


if __name__ == "__main__":
    main()
