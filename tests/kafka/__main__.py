"""A Kafka to try things by hand: `python -m tests.kafka [--nodes 3]`; Ctrl-C ends it and its data."""

import argparse
import signal
import sys

from tests.kafka.cluster import KafkaCluster
from tests.kafka.jars import KafkaMissing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kafka", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1)
    nodes = parser.parse_args().nodes
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with KafkaCluster(nodes) as cluster:
            sys.stdout.write(f"{cluster.bootstrap_servers}\n")
            sys.stdout.flush()
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except KafkaMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
