"""What the apps print for an event. They refuse the first delivery of the order `refused-once`."""
import base64
import json
import threading

_lock = threading.Lock()
_refused = False


def accept(body: bytes, metadata: dict) -> bool:
    """Prints the event as one JSON line; tells whether to accept it."""
    global _refused
    with _lock:
        accepted = b'"refused-once"' not in body or _refused
        _refused = _refused or not accepted
        event = {"body": base64.b64encode(body).decode(), "accepted": accepted, "metadata": metadata}
        print(json.dumps({"check": "event", "result": event}), flush=True)
    return accepted
