#!/usr/bin/env python3
"""The smallest app for bindd in Python: takes events, prints them, stores each as a row. Standard library only."""
import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

APP_PORT = int(os.environ.get("APP_PORT", "3000"))
BINDD = f"http://127.0.0.1:{os.environ.get('DAPR_HTTP_PORT', '3500')}"
ROUTES = ("/orders-shared", "/orders-fanout")


def store(row):
    """Writes a row through the output binding `orders-table`; raises when bindd does not say 2xx."""
    body = json.dumps({"operation": "create", "data": row}).encode()
    request = urllib.request.Request(f"{BINDD}/v1.0/bindings/orders-table", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open

    def do_OPTIONS(self):  # bindd asks whether this route wants events: 200 says yes
        self.answer(200 if self.path in ROUTES else 404)

    def do_POST(self):  # one event; 2xx accepts it, anything else makes bindd bring it again
        event = self.rfile.read(int(self.headers.get("content-length", "0"))).decode(errors="replace")
        if self.path not in ROUTES:
            return self.answer(404)
        # The same event gives the same row, so a repeated delivery does no harm.
        key = f"{self.headers.get('bindd-shard-id', '-')}/{self.headers.get('bindd-sequence-number', '-')}"
        print(f"{self.path} {key}: {event}", flush=True)
        try:
            store({"id": key, "event": event})
        except OSError as error:
            print(f"the row was not stored: {error}", file=sys.stderr, flush=True)
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
