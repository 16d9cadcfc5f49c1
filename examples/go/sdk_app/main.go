// An app with the Dapr SDK for Go: writes an order to the stream over gRPC, receives it through two inputs over HTTP, and
// stores each event as an item.
//
//	bindd dev --app-port 3000 --resources-path ./components -- go run -C examples/go ./sdk_app
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/dapr/go-sdk/client"
	"github.com/dapr/go-sdk/service/common"
	"github.com/dapr/go-sdk/service/http"
)

func main() {
	outputs, err := client.NewClient() // waits for the sidecar; reads DAPR_GRPC_PORT, which `bindd dev` sets
	if err != nil {
		log.Fatal(err)
	}
	defer outputs.Close()

	app := http.NewService("127.0.0.1:" + os.Getenv("APP_PORT"))
	for _, input := range []string{"orders-shared", "orders-fanout"} {
		if err := app.AddBindingInvocationHandler(input, store(outputs, input)); err != nil {
			log.Fatal(err)
		}
	}

	order := []byte(`{"id": "1", "total": 12.5}`)
	if err := create(context.Background(), outputs, "orders-out", order, "customer-7"); err != nil {
		log.Fatal(err)
	}
	log.Fatal(app.Start())
}

// A handler that writes each event as an item. The SDK answers 500 to an error, and bindd sends the event again.
func store(outputs client.Client, input string) common.BindingInvocationHandler {
	return func(ctx context.Context, event *common.BindingEvent) ([]byte, error) {
		log.Printf("%s: %s", input, event.Data)
		var order struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(event.Data, &order); err != nil {
			return nil, err
		}
		// The key comes from the event, so that a repeated delivery writes the same item.
		item, err := json.Marshal(map[string]any{"id": input + "/" + order.ID, "order": json.RawMessage(event.Data)})
		if err != nil {
			return nil, err
		}
		return nil, create(ctx, outputs, "orders-table", item, "")
	}
}

func create(ctx context.Context, outputs client.Client, binding string, data []byte, partitionKey string) error {
	request := client.InvokeBindingRequest{Name: binding, Operation: "create", Data: data}
	if partitionKey != "" {
		request.Metadata = map[string]string{"partitionKey": partitionKey}
	}
	return outputs.InvokeOutputBinding(ctx, &request)
}
