"""The log's ports over real Kafka keep what the ports promise."""

from pathlib import Path

import pytest

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_status_feed import KafkaStatusFeed
from adapters.system_clock import SystemClock
from tests.contracts.dead_letter_archive import DeadLetterArchiveContract
from tests.contracts.dead_letters import DeadLettersContract
from tests.contracts.lags import GroupLagsContract
from tests.contracts.ledger import LedgerContract
from tests.contracts.log import LogContract, RebalanceContract
from tests.contracts.publisher import PublisherContract
from tests.contracts.status import StatusViewContract
from tests.contracts.topic_catalog import TopicCatalogContract
from tests.kafka.rig import NOBODY_LISTENS, KafkaRig
from tests.status_parts import BuiltView

pytestmark = pytest.mark.kafka


class OnKafka:
    @pytest.fixture
    async def rig(self, kafka_address: str) -> KafkaRig:
        return await KafkaRig(kafka_address).make_topics()


class TestKafkaPublisher(OnKafka, PublisherContract): ...


class TestKafkaLog(OnKafka, LogContract): ...


class TestKafkaRebalance(OnKafka, RebalanceContract): ...


class TestKafkaDeadLetters(OnKafka, DeadLettersContract): ...


class TestKafkaDeadLetterArchive(OnKafka, DeadLetterArchiveContract): ...


class TestKafkaTopicCatalog(OnKafka, TopicCatalogContract): ...


class TestKafkaStatusScan(OnKafka, StatusViewContract): ...


class StoredRig(KafkaRig):
    """Statuses from a view that is kept apart from Kafka."""

    folder: Path

    def status_view(self) -> BuiltView:  # type: ignore[override]
        return self._view(self.connection)

    def unreachable_status_view(self) -> BuiltView:  # type: ignore[override]
        return self._view(NOBODY_LISTENS)

    def _view(self, connection: KafkaConnection) -> BuiltView:
        feed = KafkaStatusFeed(connection, self.configured(), SystemClock(), 24.0, 1000)
        return BuiltView(self.folder / "status.db", self.configured(), feed)


class TestKafkaStoredStatus(StatusViewContract):
    @pytest.fixture
    async def rig(self, kafka_address: str, tmp_path: Path) -> StoredRig:
        rig = await StoredRig(kafka_address).make_topics()
        rig.folder = tmp_path
        return rig


class TestKafkaGroupLags(OnKafka, GroupLagsContract): ...


class TestKafkaLedger(OnKafka, LedgerContract): ...
