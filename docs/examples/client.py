"""Asks a feilun API with its own client: labels, feedback, usage.

Set FEILUN_URL, FEILUN_KEY and FEILUN_MODEL. Needs the package feilun, or its folder client alone
and httpx.
"""

import os
import sys

from feilun.client import ApiError, Client

texts = sys.argv[1:] or ["works well", "arrived broken"]
model = os.environ.get("FEILUN_MODEL", "reviews")

with Client(os.environ["FEILUN_URL"], os.environ["FEILUN_KEY"]) as api:
    try:
        # Tried again under one idempotency key when the connection breaks or the server is busy.
        answer = api.predict(texts, model=model)
    except ApiError as error:
        sys.exit(f"{error.status} {error.code}: {error} (request {error.request_id})")
    for text, output in zip(texts, answer.outputs, strict=True):
        print(f"{answer.model}  {output['label']}  {output['score']:.2f}  {text}")

    api.feedback(answer.id, answer.labels[0], index=0)  # here: it was right
    print("total:", api.usage()["total"])
