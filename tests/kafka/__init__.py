"""Real Apache Kafka for tests and benchmarks: nodes started from Maven's jars on this machine."""
