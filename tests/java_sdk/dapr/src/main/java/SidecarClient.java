import com.fasterxml.jackson.databind.ObjectMapper;
import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import io.dapr.exceptions.DaprException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Calls a sidecar through Dapr's SDK for Java, over gRPC. Prints one JSON line for each check, with what it returned. */
final class SidecarClient {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final byte[] ORDER =
        "{\"id\":\"order-1\",\"note\":\"größe ✓\",\"total\":12.5}".getBytes(StandardCharsets.UTF_8);

    private final DaprClient client;

    private SidecarClient(DaprClient client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        try (DaprClient client = new DaprClientBuilder().build()) {
            new SidecarClient(client).check();
        }
        // The threads of the SDK's HTTP client outlive it and would keep the JVM alive.
        System.exit(0);
    }

    private void check() throws Exception {
        client.waitForSidecar(120_000).block();
        report("started", null);

        invoke("orders-out", "create", ORDER, Map.of("partitionKey", "customer-7"));
        invoke("orders-table", "create", ORDER, Map.of());
        byte[] get = "{\"key\":{\"id\":\"order-1\"}}".getBytes(StandardCharsets.UTF_8);
        report("item", JSON.readTree(invoke("orders-table", "get", get, Map.of())));

        Stream<byte[]> many = IntStream.range(0, 40).mapToObj(number -> ("{\"id\":\"many-" + number + "\"}").getBytes());
        many.parallel().forEach(one -> invoke("orders-out", "create", one, Map.of("partitionKey", "many")));
        report("many", null);
        byte[] bytes = new byte[256];
        IntStream.range(0, bytes.length).forEach(number -> bytes[number] = (byte) number);
        invoke("orders-out", "create", bytes, Map.of("partitionKey", "bytes"));
        report("bytes", null);

        reportFailure("unknown binding", "orders-lost", "create", ORDER);
        reportFailure("unknown operation", "orders-out", "explode", ORDER);
        reportFailure("unusable item", "orders-table", "create", "{\"note\":\"no key\"}".getBytes());

        var metadata = client.getMetadata().block();
        var components = metadata.getComponents().stream()
            .map(each -> Map.of("name", each.getName(), "type", each.getType(), "version", each.getVersion()))
            .toList();
        report("metadata", Map.of("id", metadata.getId(), "components", components));

        client.shutdown().block();
        report("shutdown", null);
    }

    private byte[] invoke(String binding, String operation, byte[] data, Map<String, String> metadata) {
        return client.invokeBinding(binding, operation, data, metadata).block();
    }

    /** A call that must fail. */
    private void reportFailure(String check, String binding, String operation, byte[] data) throws Exception {
        try {
            invoke(binding, operation, data, Map.of());
        } catch (DaprException error) {
            report(check, Map.of("code", error.getErrorCode(), "text", error.getMessage()));
            return;
        }
        throw new IllegalStateException(check + ": the call succeeded");
    }

    private static void report(String check, Object result) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("check", check);
        line.put("result", result);
        System.out.println(JSON.writeValueAsString(line));
    }
}
