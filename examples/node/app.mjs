// A minimal app for bindd in Node 18 or later: prints each event and stores it as an item. No packages.
//
//   bindd dev --app-port 3000 --resources-path ./components -- node examples/node/app.mjs
import { createServer } from "node:http";

const port = Number(process.env.APP_PORT ?? 3000);
const bindd = `http://127.0.0.1:${process.env.DAPR_HTTP_PORT ?? 3500}`;
const routes = new Set(["/orders-shared", "/orders-fanout"]);

// Writes an item through the output binding `orders-table`.
async function store(item) {
  const answer = await fetch(`${bindd}/v1.0/bindings/orders-table`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ operation: "create", data: item }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
}

async function handle(request) {
  if (!routes.has(request.url)) return 404;
  if (request.method === "OPTIONS") return 200; // bindd asks whether the app accepts events at this route
  if (request.method !== "POST") return 405;
  const parts = [];
  for await (const part of request) parts.push(part);
  const event = Buffer.concat(parts).toString();
  // The key comes from the event, so that a repeated delivery writes the same item.
  const id = `${request.headers["bindd-shard-id"] ?? "-"}/${request.headers["bindd-sequence-number"] ?? "-"}`;
  console.log(`${request.url} ${id}: ${event}`);
  await store({ id, event });
  return 200;
}

createServer(async (request, response) => {
  try {
    response.writeHead(await handle(request)).end();
  } catch (error) {
    // After any answer other than 2xx, bindd sends the event again.
    console.error(`the item was not stored: ${error.message}`);
    response.writeHead(502).end();
  }
}).listen(port, "127.0.0.1");
