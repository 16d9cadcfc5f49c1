"""Receives the events of `orders` in a Flask app, which needs no SDK for it."""
import os

from event import accept
from flask import Flask, request

app = Flask(__name__)


@app.post("/orders")
def orders():
    return "", 200 if accept(request.get_data(), dict(request.headers)) else 500


app.run("127.0.0.1", int(os.environ["APP_PORT"]))
