// Receives the events of `orders` through the SDK for JavaScript, over the protocol of the first argument (`http` or
// `grpc`). Prints one JSON line for each event, and refuses the first delivery of the order `refused-once`.
import { CommunicationProtocolEnum, DaprServer } from "@dapr/dapr";

const server = new DaprServer({ communicationProtocol: CommunicationProtocolEnum[process.argv[2].toUpperCase()] });
let refused = false;

await server.binding.receive("orders", async (order) => {
  const accepted = order.id !== "refused-once" || refused;
  refused ||= !accepted;
  // The SDK passes a value for JSON, a string for text, and a buffer for bytes.
  const data = typeof order === "string" || Buffer.isBuffer(order) ? order : JSON.stringify(order);
  const body = Buffer.from(data).toString("base64");
  console.log(JSON.stringify({ check: "event", result: { body, accepted } }));
  if (!accepted) throw new Error("refused once");
});
await server.start();
console.log(JSON.stringify({ check: "started", result: null }));
