from entrypoints.inbox_store import ENTRY_BYTES, InboxStore, ReceivedMail, ReceivedText


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


def test_what_is_shown_takes_the_place_of_the_raw_bytes_and_counts() -> None:
    store = InboxStore(keep=10, keep_bytes=2 * ENTRY_BYTES + 3000)
    first, second = mail(1, b"r" * 1000), mail(2, b"r" * 1000)
    store.add_mail(first)
    store.add_mail(second)
    store.show([first], [b"s" * 900])
    held = len(store.newest_mails(9))
    store.show([second], [b"s" * 2500])

    assert held == 2
    assert (second.raw, len(second.shown)) == (b"", 2500)
    assert store.newest_mails(9) == [second]


def test_the_first_reader_decides_how_a_mail_is_shown() -> None:
    store = InboxStore(keep=10, keep_bytes=10**9)
    entry = mail(1)
    store.add_mail(entry)
    store.show([entry], [b"from its bytes"])
    store.show([entry], [b"from nothing"])

    assert entry.shown == b"from its bytes"


def test_clearing_forgets_everything_and_counts_from_zero() -> None:
    store = InboxStore(keep=10, keep_bytes=10**9)
    store.add_mail(mail(1))
    store.add_text(text(2))
    store.clear()

    assert (store.newest_mails(9), store.newest_texts(9)) == ([], [])
    assert (store.emails_total, store.texts_total) == (0, 0)
