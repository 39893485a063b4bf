"""In a real Jupyter kernel, where an event loop runs: the verbs work, and show themselves as
tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from helpers.rows import write_reviews

Cell = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """Executes the text of a cell; what it shows, by kind."""
    folder = tmp_path_factory.mktemp("notebook")
    write_reviews(folder / "reviews.csv", 120, noise=0)
    kernel = KernelManager()
    kernel.start_kernel(cwd=str(folder))
    client = kernel.client()
    client.start_channels()

    def execute(text: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "execute_result":
                shown.update(message["content"]["data"])

        reply = client.execute_interactive(text, timeout=120, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
        return shown

    try:
        client.wait_for_ready(timeout=60)
        yield execute
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


@pytest.mark.slow
def test_a_file_becomes_a_model_in_a_notebook(cell: Cell) -> None:
    cell("import asyncio; asyncio.get_running_loop()")
    cell(
        "import feilun\n"
        "shop = feilun.Workspace('shop')\n"
        "reviews = shop.init('reviews', task='text-classification', exist_ok=True)"
    )
    assert "<table>" in cell("reviews.add('reviews.csv')")["text/html"]
    assert "reviews@1" in cell("reviews.run(method='linear')")["text/html"]
    found = cell("reviews.predict(['delicious tea, will buy again']).outputs[0]['label']")
    assert found["text/plain"] == "'great'"
    # A cell that is executed again adds nothing, and a coroutine may call a verb.
    assert "True" in cell("reviews.add('reviews.csv').unchanged")["text/plain"]
    cell("async def again():\n    return reviews.predict(['stale bread, never again'])")
    assert cell("(await again()).outputs[0]['label']")["text/plain"] == "'bad'"
