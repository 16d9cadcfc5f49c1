"""Calls a sidecar through the SDK for Python, over gRPC. Prints one JSON line for each check, with what the SDK returned."""
import json
from concurrent.futures import ThreadPoolExecutor

import grpc
from dapr.clients import DaprClient


def report(check, result=None):
    print(json.dumps({"check": check, "result": result}), flush=True)


def report_failure(check, call):
    """A call that must fail, as `{code, text}`."""
    try:
        call()
    except grpc.RpcError as error:
        return report(check, {"code": error.code().name, "text": error.details()})
    raise SystemExit(f"{check}: the call succeeded")


with DaprClient() as client:  # waits for the sidecar
    report("started")

    order = {"id": "order-1", "note": "größe ✓", "total": 12.5}
    body = json.dumps(order, ensure_ascii=False, separators=(",", ":"))
    client.invoke_binding("orders-out", "create", body, {"partitionKey": "customer-7"})
    client.invoke_binding("orders-table", "create", body)
    reply = client.invoke_binding("orders-table", "get", json.dumps({"key": {"id": "order-1"}}))
    report("item", reply.json())

    with ThreadPoolExecutor(8) as pool:
        many = [json.dumps({"id": f"many-{number}"}) for number in range(40)]
        list(pool.map(lambda one: client.invoke_binding("orders-out", "create", one, {"partitionKey": "many"}), many))
    report("many")
    client.invoke_binding("orders-out", "create", bytes(range(256)), {"partitionKey": "bytes"})
    report("bytes")

    report_failure("unknown binding", lambda: client.invoke_binding("orders-lost", "create", body))
    report_failure("unknown operation", lambda: client.invoke_binding("orders-out", "explode", body))
    report_failure("unusable item", lambda: client.invoke_binding("orders-table", "create", '{"note": "no key"}'))

    client.set_metadata("team", "orders")
    metadata = client.get_metadata()
    components = [
        {"name": each.name, "type": each.type, "version": each.version, "capabilities": list(each.capabilities)}
        for each in metadata.registered_components
    ]
    report("metadata", {"id": metadata.application_id, "components": components, "extended": metadata.extended_metadata})

    client.shutdown()
    report("shutdown")
