import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.Consumer;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.PutRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ScalingType;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardFilterType;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamDescriptionSummary;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/** Calls embedded Kinesis with the SDK's defaults, which are CBOR, and checks every answer. */
public final class Client {
    private static final String STREAM = "orders";
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    private static int checks;

    private Client() {
    }

    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0]);
        var keys = StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));
        try (KinesisClient kinesis = KinesisClient.builder().endpointOverride(url).region(Region.US_EAST_1)
                .credentialsProvider(keys).build();
                KinesisAsyncClient async = KinesisAsyncClient.builder().endpointOverride(url).region(Region.US_EAST_1)
                        .credentialsProvider(keys).build()) {
            describe(kinesis);
            List<String> sent = put(kinesis);
            read(kinesis, sent);
            readFromTime(kinesis, sent);
            subscribe(kinesis, async, sent);
            reshard(kinesis);
            fail(kinesis);
        }
        System.out.println("checks: " + checks);
    }

    private static void check(boolean fact, String what) {
        checks++;
        if (!fact) {
            throw new AssertionError(what);
        }
    }

    private static void await(String what, BooleanSupplier fact) throws InterruptedException {
        Instant end = Instant.now().plus(PATIENCE);
        while (!fact.getAsBoolean()) {
            check(Instant.now().isBefore(end), "waited in vain: " + what);
            Thread.sleep(20);
        }
    }

    private static boolean isRecent(Instant time) {
        Duration age = Duration.between(time, Instant.now());
        return age.compareTo(Duration.ofMinutes(10)) < 0 && age.compareTo(Duration.ofSeconds(-5)) > 0;
    }

    private static StreamDescriptionSummary summary(KinesisClient kinesis) {
        return kinesis.describeStreamSummary(r -> r.streamName(STREAM)).streamDescriptionSummary();
    }

    private static void awaitActive(KinesisClient kinesis) throws InterruptedException {
        await("the stream to be active", () -> summary(kinesis).streamStatus() == StreamStatus.ACTIVE);
    }

    private static void describe(KinesisClient kinesis) throws InterruptedException {
        kinesis.createStream(r -> r.streamName(STREAM).shardCount(1));
        awaitActive(kinesis);
        StreamDescriptionSummary summary = summary(kinesis);
        check(summary.openShardCount() == 1, "open shards: " + summary);
        check(summary.retentionPeriodHours() == 24, "retention: " + summary);
        check(isRecent(summary.streamCreationTimestamp()), "creation: " + summary);
        check(kinesis.listStreams().streamNames().contains(STREAM), "ListStreams");
        check(isRecent(kinesis.describeStream(r -> r.streamName(STREAM)).streamDescription()
                .streamCreationTimestamp()), "DescribeStream");
    }

    private static List<String> put(KinesisClient kinesis) {
        List<String> sent = new ArrayList<>();
        for (int number = 0; number < 3; number++) {
            String text = "single-" + number + " \u00e4\ud83d\ude00";
            var put = kinesis.putRecord(r -> r.streamName(STREAM).partitionKey("\ud83d\ude00".repeat(128))
                    .data(SdkBytes.fromUtf8String(text)));
            check(put.shardId().equals("shardId-000000000000") && !put.sequenceNumber().isEmpty(), "PutRecord: " + put);
            sent.add(text);
        }
        List<PutRecordsRequestEntry> entries = IntStream.range(0, 100)
                .mapToObj(number -> PutRecordsRequestEntry.builder().partitionKey("key-" + number)
                        .data(SdkBytes.fromUtf8String("many-" + number)).build())
                .collect(Collectors.toList());
        PutRecordsResponse many = kinesis.putRecords(r -> r.streamName(STREAM).records(entries));
        check(many.failedRecordCount() == 0 && many.records().size() == 100, "PutRecords: " + many);
        entries.forEach(entry -> sent.add(entry.data().asUtf8String()));
        return sent;
    }

    private static List<String> texts(List<Record> records) {
        return records.stream().map(record -> record.data().asString(StandardCharsets.UTF_8))
                .collect(Collectors.toList());
    }

    private static void read(KinesisClient kinesis, List<String> sent) {
        List<Shard> shards = kinesis.listShards(r -> r.streamName(STREAM).maxResults(100)).shards();
        check(shards.size() == 1, "ListShards: " + shards);
        String iterator = kinesis.getShardIterator(r -> r.streamName(STREAM).shardId(shards.get(0).shardId())
                .shardIteratorType(ShardIteratorType.TRIM_HORIZON)).shardIterator();
        GetRecordsResponse page = kinesis.getRecords(r -> r.shardIterator(iterator).limit(1_000));
        check(texts(page.records()).equals(sent), "GetRecords: " + page);
        check(page.millisBehindLatest() == 0, "MillisBehindLatest: " + page);
        check(isRecent(page.records().get(0).approximateArrivalTimestamp()), "arrival: " + page);
        GetRecordsResponse next = kinesis.getRecords(r -> r.shardIterator(page.nextShardIterator()));
        check(next.records().isEmpty(), "the next page: " + next);
    }

    private static void readFromTime(KinesisClient kinesis, List<String> sent) {
        for (Instant time : List.of(Instant.now().minusSeconds(600), Instant.now().plusSeconds(86_400))) {
            String iterator = kinesis.getShardIterator(r -> r.streamName(STREAM).shardId("shardId-000000000000")
                    .shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(time)).shardIterator();
            List<String> texts = texts(kinesis.getRecords(r -> r.shardIterator(iterator)).records());
            check(texts.equals(time.isBefore(Instant.now()) ? sent : List.of()), "AT_TIMESTAMP " + time + ": " + texts);
        }
    }

    private static void subscribe(KinesisClient kinesis, KinesisAsyncClient async, List<String> sent)
            throws Exception {
        String stream = summary(kinesis).streamARN();
        Consumer consumer =
                kinesis.registerStreamConsumer(r -> r.streamARN(stream).consumerName("java")).consumer();
        check(isRecent(consumer.consumerCreationTimestamp()), "RegisterStreamConsumer: " + consumer);
        await("the consumer to be active", () -> kinesis
                .describeStreamConsumer(r -> r.consumerARN(consumer.consumerARN())).consumerDescription()
                .consumerStatus() == ConsumerStatus.ACTIVE);
        check(kinesis.listStreamConsumers(r -> r.streamARN(stream)).consumers().size() == 1, "ListStreamConsumers");
        // Events go on to come while they are checked.
        List<Record> records = new CopyOnWriteArrayList<>();
        List<Long> behind = new CopyOnWriteArrayList<>();
        var done = new CompletableFuture<Void>();
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
                .onError(done::completeExceptionally)
                .subscriber(event -> {
                    if (event instanceof SubscribeToShardEvent) {
                        SubscribeToShardEvent batch = (SubscribeToShardEvent) event;
                        records.addAll(batch.records());
                        behind.add(batch.millisBehindLatest());
                        if (records.size() >= sent.size()) {
                            done.complete(null);
                        }
                    }
                })
                .build();
        async.subscribeToShard(r -> r.consumerARN(consumer.consumerARN()).shardId("shardId-000000000000")
                .startingPosition(p -> p.type(ShardIteratorType.AT_TIMESTAMP)
                        .timestamp(Instant.now().minusSeconds(600))), handler);
        done.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        check(texts(records).equals(sent), "SubscribeToShard: " + records);
        check(behind.get(0) == 0, "MillisBehindLatest of an event: " + behind);
        check(isRecent(records.get(0).approximateArrivalTimestamp()), "arrival of an event: " + records);
    }

    private static void reshard(KinesisClient kinesis) throws InterruptedException {
        kinesis.splitShard(r -> r.streamName(STREAM).shardToSplit("shardId-000000000000")
                .newStartingHashKey("170141183460469231731687303715884105728"));
        awaitActive(kinesis);
        kinesis.mergeShards(r -> r.streamName(STREAM).shardToMerge("shardId-000000000001")
                .adjacentShardToMerge("shardId-000000000002"));
        awaitActive(kinesis);
        var count = kinesis.updateShardCount(r -> r.streamName(STREAM).targetShardCount(2)
                .scalingType(ScalingType.UNIFORM_SCALING));
        check(count.currentShardCount() == 1 && count.targetShardCount() == 2, "UpdateShardCount: " + count);
        awaitActive(kinesis);
        List<Shard> shards = kinesis.listShards(r -> r.streamName(STREAM)).shards();
        check(shards.size() == 6, "ListShards: " + shards);
        int open = kinesis.listShards(r -> r.streamName(STREAM).shardFilter(f -> f.type(ShardFilterType.AT_LATEST)))
                .shards().size();
        check(open == 2, "ListShards, the open ones: " + open);
        check(shards.get(3).adjacentParentShardId() != null, "a merged shard: " + shards);
        check(shards.subList(1, 6).stream().allMatch(shard -> shard.parentShardId() != null), "parents: " + shards);
    }

    private static void fail(KinesisClient kinesis) {
        try {
            kinesis.describeStreamSummary(r -> r.streamName("nowhere"));
            check(false, "a stream that is not there was described");
        } catch (ResourceNotFoundException error) {
            check(error.awsErrorDetails().errorMessage().contains("nowhere"), "the message: " + error);
        }
    }
}
