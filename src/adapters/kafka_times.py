"""How long Kafka and the members of a group wait for each other. Nothing here needs Kafka's client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTimes:
    """How long the group's members wait for each other, and this one for the brokers, in seconds.

    They build on one another: a rebalance leaves time to drain; JoinGroup blocks on the broker for as
    long as a rebalance lasts, so a request must be allowed to take longer. `answer` is for what has
    to end sooner, `pause` between tries, growing to `longest_pause`. Without a heartbeat
    for `session`, or a poll for `silence`, a member is put out; a connection that is `idle` is closed.
    """

    drain: float
    session: float = 30.0
    heartbeat: float = 3.0
    poll: float = 300.0
    idle: float = 540.0
    rebalance_margin: float = 10.0
    request_margin: float = 15.0
    start: float = 60.0
    answer: float = 5.0
    stop: float = 5.0
    pause: float = 0.2
    longest_pause: float = 5.0

    @property
    def give_back(self) -> float:
        """The longest wait for the reader's answer: after draining it writes its last notes and commits.

        The rest of the margin is for the others to join.
        """
        return self.drain + 0.6 * self.rebalance_margin

    @property
    def silence(self) -> float:
        """The longest time without a poll: nobody polls while a rebalance waits for what is in flight."""
        return max(self.poll, self.rebalance + self.request_margin)

    @property
    def frozen(self) -> float:
        """A process that stood still for longer may find its shards with another one on waking."""
        return self.session / 2

    @property
    def rebalance(self) -> float:
        return self.drain + self.rebalance_margin

    @property
    def request(self) -> float:
        return self.rebalance + self.request_margin
