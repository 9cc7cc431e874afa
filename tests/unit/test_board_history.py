from application.board_history import NOTHING, STEPS, History, Step, TopicStep

TIME = 1_800_000_000.0


def step(rate: float) -> Step:
    return {"transactions": TopicStep(rate_in=rate)}


def rates(history: History) -> list[float | None]:
    return [one.rate_in for one in history.of("transactions")]


def test_it_begins_empty() -> None:
    history = History()

    assert (history.ends_at, list(history.of("transactions"))) == (None, [])


def test_steps_that_were_missed_are_there_and_empty() -> None:
    history = History()
    history.add(TIME, step(1))
    history.add(TIME + 39.9, step(2))

    assert rates(history) == [1, None, None, 2]
    assert history.ends_at == TIME + 30
    assert history.of("another") == [NOTHING] * 4


def test_the_same_step_again_takes_the_place_of_the_first() -> None:
    history = History()
    for at, rate in ((0, 1), (10, 2), (19, 3)):
        history.add(TIME + at, step(rate))

    assert rates(history) == [1, 3]


def test_it_holds_an_hour_and_no_more() -> None:
    history = History()
    for number in range(STEPS + 40):
        history.add(TIME + 10 * number, step(number))

    assert rates(history) == list(range(40, STEPS + 40))


def test_after_a_gap_of_more_than_an_hour_nothing_of_before_is_left() -> None:
    history = History()
    history.add(TIME, step(1))
    history.add(TIME + 10**7, step(2))

    assert rates(history) == [*[None] * (STEPS - 1), 2]


def test_a_clock_that_is_set_back_takes_back_what_was_measured_after_that_moment() -> None:
    history = History()
    for at in (0, 10, 20, 30):
        history.add(TIME + at, step(at))
    history.add(TIME + 12, step(99))

    assert rates(history) == [0, 99]
    assert history.ends_at == TIME + 10
