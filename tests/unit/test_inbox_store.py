from entrypoints.inbox_store import ENTRY_BYTES, InboxStore, Kind, MailView, ReceivedMail, ReceivedText


def mail(at: float, raw: bytes = b"raw") -> ReceivedMail:
    return ReceivedMail(sender="", recipients=(), at=at, raw=raw)


def text(at: float) -> ReceivedText:
    return ReceivedText(
        sid=f"SM{at}", sender="+15005550006", recipient="+491701234567", body="", idempotency_key=None, at=at
    )


def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    store = InboxStore(keep=10, keep_bytes=10**9)
    for at in range(4):
        store.add_mail(mail(at))
        store.add_text(text(at))

    assert [m.at for m in store.newest_mails(2)] == [3, 2]
    assert [t.at for t in store.newest_texts(9)] == [3, 2, 1, 0]


def test_only_the_newest_of_each_kind_are_kept_while_the_totals_go_on() -> None:
    store = InboxStore(keep=2, keep_bytes=10**9)
    for at in range(5):
        store.add_mail(mail(at))
    for at in range(3):
        store.add_text(text(at))

    assert [m.at for m in store.newest_mails(9)] == [4, 3]
    assert [t.at for t in store.newest_texts(9)] == [2, 1]
    assert (store.emails_total, store.texts_total) == (5, 3)


def test_beyond_its_bytes_the_oldest_go_of_whichever_kind() -> None:
    store = InboxStore(keep=10, keep_bytes=3 * ENTRY_BYTES + 10)
    store.add_text(text(1))
    store.add_mail(mail(2))
    store.add_text(text(3))
    store.add_mail(mail(4))
    held_after_four = ([m.at for m in store.newest_mails(9)], [t.at for t in store.newest_texts(9)])
    store.add_mail(mail(5))

    assert held_after_four == ([4, 2], [3])
    assert [m.at for m in store.newest_mails(9)] == [5, 4]
    assert [t.at for t in store.newest_texts(9)] == [3]


def test_nothing_is_held_that_is_larger_than_the_bound() -> None:
    store = InboxStore(keep=10, keep_bytes=5000)
    store.add_text(text(1))
    store.add_mail(mail(2, b"x" * 6000))

    assert store.newest_mails(9) == []
    assert store.newest_texts(9) == []
    assert store.emails_total == 1


def view(size: int) -> MailView:
    return MailView(whole=b"s" * size, row=b"", words="")


def test_a_view_counts_beside_the_raw_bytes() -> None:
    first, second = mail(1, b"r" * 1000), mail(2, b"r" * 1000)
    store = InboxStore(keep=10, keep_bytes=first.weight + second.weight + 2 * view(900).weight)
    store.add_mail(first)
    store.add_mail(second)
    store.show([first], [view(900)])
    held = len(store.newest_mails(9))
    store.show([second], [view(901)])

    assert held == 2
    assert store.newest_mails(9) == [second]
    assert second.raw == b"r" * 1000


def test_the_first_reader_decides_how_a_mail_is_shown() -> None:
    store = InboxStore(keep=10, keep_bytes=10**9)
    entry = mail(1)
    store.add_mail(entry)
    store.show([entry], [view(1)])
    weight = entry.weight
    store.show([entry], [view(2)])

    assert (entry.view, entry.weight) == (view(1), weight)


def numbers(store: InboxStore, kind: Kind | None = None, after: int = 0, before: int = 100) -> list[int]:
    return [entry.number for entry in store.newest_first(kind, after=after, before=before)]


def test_mails_and_texts_are_numbered_as_they_came_and_found_newest_first() -> None:
    store = InboxStore(keep=3, keep_bytes=10**9)
    for at in range(4):
        store.add_mail(mail(at))
        store.add_text(text(at))

    assert numbers(store) == [8, 7, 6, 5, 4, 3]
    assert numbers(store, Kind.EMAIL) == [7, 5, 3]
    assert numbers(store, Kind.SMS, after=4, before=8) == [6]
    assert store.newest == 8


def test_one_is_found_by_its_number_while_it_is_held() -> None:
    store = InboxStore(keep=1, keep_bytes=10**9)
    store.add_mail(mail(1))
    store.add_text(text(2))
    store.add_mail(mail(3))
    found = [store.get(number) for number in range(5)]

    assert [entry and entry.at for entry in found] == [None, None, 2, 3, None]


def test_numbers_begin_anew_with_another_run() -> None:
    store = InboxStore(keep=1, keep_bytes=10**9)
    store.add_mail(mail(1))
    before = store.run
    store.clear()
    store.add_text(text(2))

    assert (store.newest, numbers(store)) == (1, [1])
    assert store.run != before


def test_clearing_forgets_everything_and_counts_from_zero() -> None:
    store = InboxStore(keep=10, keep_bytes=10**9)
    store.add_mail(mail(1))
    store.add_text(text(2))
    store.clear()

    assert (store.newest_mails(9), store.newest_texts(9)) == ([], [])
    assert (store.emails_total, store.texts_total) == (0, 0)
