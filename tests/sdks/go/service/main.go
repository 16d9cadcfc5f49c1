// Receives the events of `orders` through the SDK for Go, over the protocol of the first argument (`http` or `grpc`).
// Prints one JSON line for each event, and refuses the first delivery of the order `refused-once`.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/dapr/go-sdk/service/common"
	"github.com/dapr/go-sdk/service/grpc"
	"github.com/dapr/go-sdk/service/http"
	"google.golang.org/grpc/metadata"
)

func main() {
	service, err := newService(os.Args[1], "127.0.0.1:"+os.Getenv("APP_PORT"))
	if err != nil {
		log.Fatal(err)
	}
	var orders handler
	if err := service.AddBindingInvocationHandler("orders", orders.handle); err != nil {
		log.Fatal(err)
	}
	log.Fatal(service.Start())
}

func newService(protocol, address string) (common.Service, error) {
	if protocol == "grpc" {
		return grpc.NewService(address)
	}
	return http.NewService(address), nil
}

type handler struct {
	mutex   sync.Mutex
	refused bool
}

func (h *handler) handle(ctx context.Context, event *common.BindingEvent) ([]byte, error) {
	// Over HTTP the SDK shows the headers as metadata of the event; over gRPC the token is metadata of the call.
	if call, ok := metadata.FromIncomingContext(ctx); ok {
		event.Metadata["dapr-api-token"] = strings.Join(call.Get("dapr-api-token"), ",")
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	accepted := h.refused || !bytes.Contains(event.Data, []byte(`"refused-once"`))
	h.refused = h.refused || !accepted
	result := map[string]any{"body": event.Data, "accepted": accepted, "metadata": event.Metadata}
	line, err := json.Marshal(map[string]any{"check": "event", "result": result})
	if err != nil {
		return nil, err
	}
	fmt.Println(string(line))
	if !accepted {
		return nil, errors.New("refused once")
	}
	return nil, nil
}
