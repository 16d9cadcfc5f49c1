// An app with the Dapr SDK for JavaScript, over HTTP: writes an order to the stream, receives it through two inputs, and
// stores each event as an item.
//
//   (cd examples/node && npm ci)
//   bindd dev --app-port 3000 --resources-path ./components -- node examples/node/sdk_app.mjs
import { DaprServer } from "@dapr/dapr";

const server = new DaprServer(); // reads APP_PORT and DAPR_HTTP_PORT, which `bindd dev` sets
const outputs = server.client.binding;

for (const input of ["orders-shared", "orders-fanout"]) {
  // The SDK answers 500 if this throws, and bindd sends the event again. It passes JSON objects and arrays only.
  await server.binding.receive(input, async (order) => {
    console.log(`${input}: ${JSON.stringify(order)}`);
    // The key comes from the event, so that a repeated delivery writes the same item.
    await outputs.send("orders-table", "create", { id: `${input}/${order.id}`, order });
  });
}

await server.start(); // listens, then waits for the sidecar
await outputs.send("orders-out", "create", { id: "1", total: 12.5 }, { partitionKey: "customer-7" });
