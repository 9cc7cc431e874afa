import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A Parallel Consumer that is measured; its one argument is the job as JSON. Prints messages, seconds and CPU
 * from the first thousand deliveries to the last thousand.
 */
public final class Consumer {
    private static final int EDGE = 1_000;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    /** What an application would hand to its provider. */
    public record Notification(
            String request_id,
            String topic_name,
            String message_body,
            String transaction_id,
            String customer_id,
            String email,
            String phone,
            String key) {}

    private record Mark(long wall, long cpu) {
        static Mark now() {
            return new Mark(System.nanoTime(), SYSTEM.getProcessCpuTime());
        }
    }

    private final int count;
    private final double answerSeconds;
    private final AtomicInteger delivered = new AtomicInteger();
    private final CountDownLatch done = new CountDownLatch(2);
    private volatile Mark began;
    private volatile Mark ended;

    private Consumer(JsonNode job) {
        count = job.get("count").asInt();
        answerSeconds = job.get("answer_seconds").asDouble();
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode job = JSON.readTree(arguments[0]);
        Consumer consumer = new Consumer(job);
        ParallelStreamProcessor<String, byte[]> processor = processor(job);
        processor.subscribe(List.of(job.get("topic").asText()));
        processor.poll(context -> consumer.notify(context.getSingleConsumerRecord().value()));
        consumer.done.await();
        System.out.println(consumer.result());
        System.out.flush();
        // Closing waits for what is in flight beyond the count; nothing of it is measured.
        Runtime.getRuntime().halt(0);
    }

    private static ParallelStreamProcessor<String, byte[]> processor(JsonNode job) {
        KafkaConsumer<String, byte[]> kafka = new KafkaConsumer<>(
                Map.of(
                        ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("kafka").asText(),
                        ConsumerConfig.GROUP_ID_CONFIG, job.get("group").asText(),
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                        ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false),
                new StringDeserializer(),
                new ByteArrayDeserializer());
        return ParallelStreamProcessor.createEosStreamProcessor(
                ParallelConsumerOptions.<String, byte[]>builder()
                        .consumer(kafka)
                        .ordering(ProcessingOrder.KEY)
                        .maxConcurrency(64)
                        .build());
    }

    private void notify(byte[] value) {
        try {
            JSON.readValue(value, Notification.class);
            if (answerSeconds > 0) {
                Thread.sleep(Math.round(answerSeconds * 1_000));
            }
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
        mark(delivered.incrementAndGet());
    }

    private void mark(int number) {
        if (number == EDGE) {
            began = Mark.now();
            done.countDown();
        } else if (number == count - EDGE) {
            ended = Mark.now();
            done.countDown();
        }
    }

    private String result() {
        return String.format(
                "{\"messages\": %d, \"seconds\": %.6f, \"cpu\": %.6f}",
                count - 2 * EDGE, (ended.wall - began.wall) / 1e9, (ended.cpu - began.cpu) / 1e9);
    }
}
