"""The log's ports over real Kafka keep what the ports promise."""

import pytest

from tests.contracts.dead_letters import DeadLettersContract
from tests.contracts.lags import GroupLagsContract
from tests.contracts.ledger import LedgerContract
from tests.contracts.log import LogContract, RebalanceContract
from tests.contracts.publisher import PublisherContract
from tests.contracts.status import StatusViewContract
from tests.contracts.topic_catalog import TopicCatalogContract
from tests.kafka.rig import KafkaRig

pytestmark = pytest.mark.kafka


class OnKafka:
    @pytest.fixture
    async def rig(self, kafka_address: str) -> KafkaRig:
        return await KafkaRig(kafka_address).make_topics()


class TestKafkaPublisher(OnKafka, PublisherContract): ...


class TestKafkaLog(OnKafka, LogContract): ...


class TestKafkaRebalance(OnKafka, RebalanceContract): ...


class TestKafkaDeadLetters(OnKafka, DeadLettersContract): ...


class TestKafkaTopicCatalog(OnKafka, TopicCatalogContract): ...


class TestKafkaStatusScan(OnKafka, StatusViewContract): ...


class TestKafkaGroupLags(OnKafka, GroupLagsContract): ...


class TestKafkaLedger(OnKafka, LedgerContract): ...
