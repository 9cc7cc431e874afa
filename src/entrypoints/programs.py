"""What the commands start. Each is imported when it is asked for, so that `herald --help` is quick."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from application.doctor import Doctor
    from domain.ports import DeadLetterArchive, DiscardOrders, TopicCatalog
    from domain.view_ports import GroupBacklog, GroupLags, Presence, StatusView
    from entrypoints.run_drill import DrillOptions
    from entrypoints.settings import Loaded
    from entrypoints.settings_model import Settings


class Programs:
    """Each answers an exit code. `supervised_by`: the open file descriptor of the link to a supervisor."""

    def run(self, loaded: "Loaded", arguments: Sequence[str]) -> int:
        """`arguments`: the `--config` and `--set` given here, for the child processes."""
        from entrypoints.run_all import run_all  # noqa: PLC0415 - quick start

        return run_all(loaded, arguments)

    def api(self, loaded: "Loaded", supervised_by: int | None) -> int:
        from entrypoints.run_api import run_api  # noqa: PLC0415 - quick start

        return run_api(loaded, supervised_by)

    def consumer(self, loaded: "Loaded", group: str, supervised_by: int | None) -> int:
        from entrypoints.run_consumer import run_consumer  # noqa: PLC0415 - quick start

        return run_consumer(loaded, group, supervised_by)

    def inbox(self, loaded: "Loaded", supervised_by: int | None) -> int:
        from entrypoints.run_inbox import run_inbox  # noqa: PLC0415 - quick start

        return run_inbox(loaded, supervised_by)

    def drill(self, settings: "Settings", options: "DrillOptions") -> int:
        from entrypoints.run_drill import run_drill  # noqa: PLC0415 - quick start

        return run_drill(settings, options)

    def doctor(self, settings: "Settings", wrong_sections: "AbstractSet[str]") -> "Doctor":
        """What looks at everything that these settings name, but where they have mistakes."""
        from entrypoints.build_doctor import doctor  # noqa: PLC0415 - quick start

        return doctor(settings, wrong_sections)

    def status_view(self, settings: "Settings", show: Callable[[str], None]) -> "StatusView":
        """What became of messages, from the log that these settings name; `show` is told what takes long."""
        from containers import Container  # noqa: PLC0415 - quick start

        view: StatusView = Container(settings=settings, show=show).status_scan()
        return view

    def group_lags(self, settings: "Settings") -> "GroupLags":
        """How far the groups are behind in the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        lags: GroupLags = Container(settings=settings).group_lags()
        return lags

    def presence(self, settings: "Settings") -> "Presence":
        """Which consumer processes there are, by the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        presence: Presence = Container(settings=settings).presence()
        return presence

    def group_backlog(self, settings: "Settings") -> "GroupBacklog":
        """What groups have not finished in the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        backlog: GroupBacklog = Container(settings=settings).group_backlog()
        return backlog

    def discard_orders(self, settings: "Settings") -> "DiscardOrders":
        """Orders to discard, beside the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        orders: DiscardOrders = Container(settings=settings).discard_orders()
        return orders

    def dead_letter_archive(self, settings: "Settings") -> "DeadLetterArchive":
        """The dead letters of the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        archive: DeadLetterArchive = Container(settings=settings).dead_letter_archive()
        return archive

    def topic_catalog(self, settings: "Settings") -> "TopicCatalog":
        """The topics of the log that these settings name."""
        from containers import Container  # noqa: PLC0415 - quick start

        catalog: TopicCatalog = Container(settings=settings).topic_catalog()
        return catalog
