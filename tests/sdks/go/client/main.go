// Calls a sidecar through the SDK for Go. Prints one JSON line for each check, with what the SDK returned.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"sync"

	dapr "github.com/dapr/go-sdk/client"
	"google.golang.org/grpc/status"
)

func report(check string, result any) {
	line, err := json.Marshal(map[string]any{"check": check, "result": result})
	must(err)
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	client, err := dapr.NewClient() // waits for the sidecar
	must(err)
	defer client.Close()
	report("started", nil)

	order := []byte(`{"id":"order-1","note":"größe ✓","total":12.5}`)
	create := func(binding string, data []byte, partitionKey string) error {
		metadata := map[string]string{}
		if partitionKey != "" {
			metadata["partitionKey"] = partitionKey
		}
		request := dapr.InvokeBindingRequest{Name: binding, Operation: "create", Data: data, Metadata: metadata}
		return client.InvokeOutputBinding(ctx, &request)
	}
	must(create("orders-out", order, "customer-7"))
	must(create("orders-table", order, ""))
	get := dapr.InvokeBindingRequest{Name: "orders-table", Operation: "get", Data: []byte(`{"key":{"id":"order-1"}}`)}
	reply, err := client.InvokeBinding(ctx, &get)
	must(err)
	report("item", json.RawMessage(reply.Data))

	var calls sync.WaitGroup
	for number := range 40 {
		calls.Add(1)
		go func() {
			defer calls.Done()
			must(create("orders-out", []byte(fmt.Sprintf(`{"id":"many-%d"}`, number)), "many"))
		}()
	}
	calls.Wait()
	report("many", nil)
	bytes := make([]byte, 256)
	for number := range bytes {
		bytes[number] = byte(number)
	}
	must(create("orders-out", bytes, "bytes"))
	report("bytes", nil)

	reportFailure("unknown binding", create("orders-lost", order, ""))
	explode := dapr.InvokeBindingRequest{Name: "orders-out", Operation: "explode", Data: order}
	reportFailure("unknown operation", client.InvokeOutputBinding(ctx, &explode))
	reportFailure("unusable item", create("orders-table", []byte(`{"note": "no key"}`), ""))

	must(client.SetMetadata(ctx, "team", "orders"))
	metadata, err := client.GetMetadata(ctx)
	must(err)
	components := []map[string]any{}
	for _, each := range metadata.RegisteredComponents {
		components = append(components, map[string]any{
			"name": each.Name, "type": each.Type, "version": each.Version, "capabilities": each.Capabilities,
		})
	}
	report("metadata", map[string]any{"id": metadata.ID, "components": components, "extended": metadata.ExtendedMetadata})

	must(client.Shutdown(ctx))
	report("shutdown", nil)
}

// A call that must fail, as `{code, text}`.
func reportFailure(check string, err error) {
	if err == nil {
		log.Fatalf("%s: the call succeeded", check)
	}
	report(check, map[string]any{"code": status.Code(err).String(), "text": err.Error()})
}
