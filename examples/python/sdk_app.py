"""An app with the Dapr SDK for Python, over gRPC: writes an order to the stream, receives it through two inputs, and
stores each event as an item.

    python3 -m venv .venv && .venv/bin/pip install -r examples/python/requirements.txt
    bindd dev --app-port 3000 --app-protocol grpc --resources-path ./components -- \\
        .venv/bin/python examples/python/sdk_app.py
"""
import json
import os

from dapr.clients import DaprClient
from dapr.ext.grpc import App, BindingRequest

app = App()
outputs = DaprClient()  # waits for the sidecar; reads DAPR_HTTP_PORT and DAPR_GRPC_PORT, which `bindd dev` sets


def store(name: str, event: BindingRequest):
    """Writes an item. bindd sends the event again if this raises."""
    order = json.loads(event.data)
    print(f"{name}: {order}", flush=True)
    # The key comes from the event, so that a repeated delivery writes the same item.
    outputs.invoke_binding("orders-table", "create", json.dumps({"id": f"{name}/{order['id']}", "order": order}))


@app.binding("orders-shared")
def shared(event: BindingRequest):
    store("orders-shared", event)


@app.binding("orders-fanout")
def fan_out(event: BindingRequest):
    store("orders-fanout", event)


outputs.invoke_binding("orders-out", "create", '{"id": "1", "total": 12.5}', {"partitionKey": "customer-7"})
app.run(int(os.environ["APP_PORT"]), "127.0.0.1")
