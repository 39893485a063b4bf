"""A text classifier behind Flask, as tutorials do it: a pipeline and Flask's own server."""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from transformers import pipeline

app = Flask(__name__)
classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")


@app.post("/v1/predict")
def predict():  # type: ignore[no-untyped-def]
    return jsonify(classify(request.json["inputs"]))


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), threaded=True)
