# /// script
# dependencies = ["flask>=3", "gunicorn", "torch==2.13.0", "transformers>=5.23"]
# ///
"""A text classifier behind Flask: a transformers pipeline under gunicorn, as Flask's page on
deploying says. Settings: WORKERS processes, THREADS of torch in each."""

from __future__ import annotations

import os
import sys

import torch
from flask import Flask, jsonify, request
from transformers import pipeline

torch.set_num_threads(int(os.environ["THREADS"]))
app = Flask(__name__)
classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")


@app.post("/v1/predict")
def predict():  # type: ignore[no-untyped-def]
    return jsonify(classify(request.json["inputs"]))


if __name__ == "__main__":
    words = ["-m", "gunicorn", "-w", os.environ["WORKERS"], "--threads", "8", "-b"]
    words += [f"127.0.0.1:{os.environ['PORT']}", "--backlog", "1024", "flask_torch:app"]
    os.execv(sys.executable, [sys.executable, *words])
