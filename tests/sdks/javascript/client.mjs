// Calls a sidecar through the SDK for JavaScript, over the protocol of the first argument (`http` or `grpc`).
// Prints one JSON line for each check, with what the SDK returned.
import { CommunicationProtocolEnum, DaprClient } from "@dapr/dapr";

const protocol = CommunicationProtocolEnum[process.argv[2].toUpperCase()];
const client = new DaprClient({ communicationProtocol: protocol });

const print = (check, result = null) => console.log(JSON.stringify({ check, result }));

// A call that must fail, as `{code, text}`. Over HTTP the SDK throws JSON with status and body.
async function failure(check, call) {
  try {
    await call();
  } catch (error) {
    if (protocol === CommunicationProtocolEnum.GRPC) return print(check, { code: error.code, text: error.rawMessage });
    const { status, error_msg } = JSON.parse(error.message);
    return print(check, { code: status, text: JSON.parse(error_msg).message });
  }
  throw new Error(`${check}: the call succeeded`);
}

// The data of a reply: the body itself over HTTP, bytes over gRPC.
const data = (reply) =>
  protocol === CommunicationProtocolEnum.GRPC ? JSON.parse(Buffer.from(reply.data).toString()) : reply;

await client.start();
print("started", await client.health.isHealthy().catch(() => "gRPC has no health check"));

const order = { id: "order-1", note: "größe ✓", total: 12.5 };
await client.binding.send("orders-out", "create", order, { partitionKey: "customer-7" });
await client.binding.send("orders-table", "create", order);
print("item", data(await client.binding.send("orders-table", "get", { key: { id: "order-1" } })));

await Promise.all(
  Array.from({ length: 40 }, (_, number) =>
    client.binding.send("orders-out", "create", { id: `many-${number}` }, { partitionKey: "many" })),
);
print("many");

await failure("unknown binding", () => client.binding.send("orders-lost", "create", order));
await failure("unknown operation", () => client.binding.send("orders-out", "explode", order));
await failure("unusable item", () => client.binding.send("orders-table", "create", { note: "no key" }));

if (!(await client.metadata.set("team", "orders"))) throw new Error("the metadata was not set");
const metadata = await client.metadata.get();
print("metadata", { id: metadata.id, components: metadata.components, extended: metadata.extended });

await client.sidecar.shutdown();
print("shutdown");
await client.stop();
