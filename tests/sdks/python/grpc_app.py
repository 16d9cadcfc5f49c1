"""Receives the events of `orders` through the SDK for Python, over gRPC."""
import os

from dapr.ext.grpc import App, BindingRequest
from event import accept

app = App()


@app.binding("orders")
def orders(request: BindingRequest):
    # The metadata of the call, which has the token, and those of the event.
    if not accept(request.data, {**dict(request.get_metadata()), **request.binding_metadata}):
        raise RuntimeError("refused once")


app.run(int(os.environ["APP_PORT"]), "127.0.0.1")
