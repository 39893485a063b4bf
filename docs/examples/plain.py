"""Asks a feilun API with nothing but Python: labels and feedback.

Set FEILUN_URL, FEILUN_KEY and FEILUN_MODEL.
"""

import json
import os
import random
import sys
import time
import uuid
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

URL = os.environ["FEILUN_URL"].rstrip("/")
KEY = os.environ["FEILUN_KEY"]


def call(path, body, tries=5):
    """Sends `body`. One key for all tries: the server answers and charges the call once."""
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    request = Request(URL + path, json.dumps(body).encode(), headers)
    left = tries
    while True:
        left -= 1
        try:
            with urlopen(request, timeout=60) as response:
                return json.load(response)
        except HTTPError as refused:
            told = json.load(refused)["error"]
            if refused.code not in (429, 503) or not left:
                sys.exit(f"{refused.code} {told['code']}: {told['message']}")
            pause = float(refused.headers.get("Retry-After", 1))
        except (URLError, OSError) as broken:
            if not left:
                sys.exit(f"{URL} does not answer: {broken}")
            pause = 1.0
        time.sleep(pause + random.random() / 2)


texts = sys.argv[1:] or ["works well", "arrived broken"]
model = os.environ.get("FEILUN_MODEL", "reviews")
answer = call("/v1/predict", {"model": model, "inputs": texts})
for text, output in zip(texts, answer["outputs"], strict=True):
    print(f"{answer['model']}  {output['label']}  {output['score']:.2f}  {text}")

label = answer["outputs"][0]["label"]  # here: it was right
call("/v1/feedback", {"prediction_id": answer["id"], "index": 0, "label": label})
