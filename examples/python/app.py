#!/usr/bin/env python3
"""A minimal app for bindd in Python: prints each event and stores it as an item. Standard library only.

    bindd dev --app-port 3000 --resources-path ./components -- python3 examples/python/app.py
"""
import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

APP_PORT = int(os.environ.get("APP_PORT", "3000"))
BINDD = f"http://127.0.0.1:{os.environ.get('DAPR_HTTP_PORT', '3500')}"
ROUTES = ("/orders-shared", "/orders-fanout")


def store(item):
    """Writes an item through the output binding `orders-table`; raises unless bindd answers 2xx."""
    body = json.dumps({"operation": "create", "data": item}).encode()
    request = urllib.request.Request(f"{BINDD}/v1.0/bindings/orders-table", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive

    def do_OPTIONS(self):  # bindd asks whether the app accepts events at this route: 200 means yes
        self.answer(200 if self.path in ROUTES else 404)

    def do_POST(self):  # one event: 2xx accepts it, after any other answer bindd sends it again
        event = self.rfile.read(int(self.headers.get("content-length", "0"))).decode(errors="replace")
        if self.path not in ROUTES:
            return self.answer(404)
        # The key comes from the event, so that a repeated delivery writes the same item.
        key = f"{self.headers.get('bindd-shard-id', '-')}/{self.headers.get('bindd-sequence-number', '-')}"
        print(f"{self.path} {key}: {event}", flush=True)
        try:
            store({"id": key, "event": event})
        except OSError as error:
            print(f"the item was not stored: {error}", file=sys.stderr, flush=True)
            return self.answer(502)
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", APP_PORT), App) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
