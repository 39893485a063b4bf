"""The demonstration's customers go on where the API refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from feilun.demo.traffic import send
from feilun.families.classes import CLASSES


class _Api(BaseHTTPRequestHandler):
    """Answers "bad" to everything, and refuses every second piece of feedback."""

    said = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = 200, {}
        if self.path.endswith("/predict"):
            outputs = [{"label": "bad", "score": 0.9} for _ in body["inputs"]]
            answer = {"id": "pred_1", "model": "r@1", "outputs": outputs, "usage": {}}
        else:
            type(self).said += 1
            if self.said % 2:
                status = 410
                answer = {"error": {"message": "gone", "type": "gone", "code": "store.input_gone"}}
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_feedback_that_is_refused_is_counted(address: str) -> None:
    rows = [(f"text {n}", "bad" if n % 2 else "great") for n in range(40)]
    sent = send(address, ["fl_x"], "r", rows, lambda done: None, CLASSES, diligence=1.0)
    assert (sent.rows, sent.right, sent.failed) == (40, 20, 0)
    assert len(sent.answers) == 40
    assert sent.lost == _Api.said - sent.corrected - sent.confirmed
    assert 8 <= sent.lost <= 12
    assert sent.corrected + sent.confirmed + sent.lost >= 20
