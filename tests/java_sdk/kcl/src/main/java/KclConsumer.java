import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.exceptions.ThrottlingException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A worker of the Kinesis Client Library. It prints a line for each record and each event of a lease, and checkpoints after
 * each batch. It stops gracefully when its standard input ends.
 */
public final class KclConsumer {
    private static final PrintStream OUT = System.out;
    private static final long STOP_SECONDS = 120;

    private KclConsumer() {
    }

    /** Arguments: URL of Kinesis, URL of DynamoDB, stream, lease table, worker id, lease duration in milliseconds. */
    public static void main(String[] arguments) throws Exception {
        Scheduler scheduler = scheduler(arguments);
        Thread worker = new Thread(scheduler, "scheduler");
        worker.setDaemon(true);
        worker.start();
        line("started");
        while (System.in.read() >= 0) {
            // Only the end counts.
        }
        boolean isGraceful = scheduler.startGracefulShutdown().get(STOP_SECONDS, TimeUnit.SECONDS);
        line("stopped " + isGraceful);
        System.exit(0);
    }

    private static Scheduler scheduler(String[] arguments) {
        URI kinesisUrl = URI.create(arguments[0]);
        URI dynamoDbUrl = URI.create(arguments[1]);
        String stream = arguments[2];
        String table = arguments[3];
        var keys = StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));
        var kinesis = KinesisAsyncClient.builder().endpointOverride(kinesisUrl).region(Region.US_EAST_1)
                .credentialsProvider(keys).build();
        var dynamoDb = DynamoDbAsyncClient.builder().endpointOverride(dynamoDbUrl).region(Region.US_EAST_1)
                .credentialsProvider(keys).build();
        // Never called: the metrics factory below sends nothing.
        var cloudWatch = CloudWatchAsyncClient.builder().endpointOverride(dynamoDbUrl).region(Region.US_EAST_1)
                .credentialsProvider(keys).build();
        var start = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        var configs = new ConfigsBuilder(new SingleStreamTracker(stream, start), table, kinesis, dynamoDb, cloudWatch,
                arguments[4], Processor::new);
        var polling = new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(250);
        // After it created the leases, the library sleeps for the sync interval, 60 s by default.
        var leases = configs.leaseManagementConfig().failoverTimeMillis(Long.parseLong(arguments[5]))
                .shardSyncIntervalMillis(1_000);
        return new Scheduler(configs.checkpointConfig(),
                configs.coordinatorConfig().parentShardPollIntervalMillis(500).shardConsumerDispatchPollIntervalMillis(200),
                leases, configs.lifecycleConfig(), configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(), configs.retrievalConfig().retrievalSpecificConfig(polling));
    }

    private static synchronized void line(String text) {
        OUT.println(text);
        OUT.flush();
    }

    private static final class Processor implements ShardRecordProcessor {
        private String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            line("lease " + shard);
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            for (KinesisClientRecord record : input.records()) {
                line("record " + StandardCharsets.UTF_8.decode(record.data()));
            }
            if (!input.records().isEmpty()) {
                checkpoint(input.checkpointer());
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            line("lost " + shard);
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            checkpoint(input.checkpointer());
            line("ended " + shard);
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        private void checkpoint(RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (ShutdownException | InvalidStateException | ThrottlingException error) {
                line("refused " + shard + " " + error);
            }
        }
    }
}
