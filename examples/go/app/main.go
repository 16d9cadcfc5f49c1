// A minimal app for bindd in Go: prints each event and stores it as an item. Standard library only.
//
//	bindd dev --app-port 3000 --resources-path ./components -- go run -C examples/go ./app
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	for _, route := range []string{"/orders-shared", "/orders-fanout"} {
		// bindd asks whether the app accepts events at a route: 200 means yes.
		http.HandleFunc("OPTIONS "+route, func(http.ResponseWriter, *http.Request) {})
		http.HandleFunc("POST "+route, handle)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+env("APP_PORT", "3000"), nil))
}

// One event: 2xx accepts it, after any other answer bindd sends it again.
func handle(answer http.ResponseWriter, request *http.Request) {
	event, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	// The key comes from the event, so that a repeated delivery writes the same item.
	id := request.Header.Get("bindd-shard-id") + "/" + request.Header.Get("bindd-sequence-number")
	log.Printf("%s %s: %s", request.URL.Path, id, event)
	if err := store(map[string]string{"id": id, "event": string(event)}); err != nil {
		log.Printf("the item was not stored: %v", err)
		http.Error(answer, err.Error(), http.StatusBadGateway)
	}
}

// Writes an item through the output binding `orders-table`.
func store(item map[string]string) error {
	body, err := json.Marshal(map[string]any{"operation": "create", "data": item})
	if err != nil {
		return err
	}
	url := "http://127.0.0.1:" + env("DAPR_HTTP_PORT", "3500") + "/v1.0/bindings/orders-table"
	answer, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
