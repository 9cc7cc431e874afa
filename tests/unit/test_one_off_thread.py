import asyncio
import threading

import pytest

from adapters.one_off_thread import in_thread, name_fault


async def test_a_job_s_result_and_its_error_come_back() -> None:
    def fail() -> None:
        raise OSError("broken")

    assert await in_thread("job", lambda: 7) == 7
    with pytest.raises(OSError, match="broken"):
        await in_thread("job", fail)


async def test_a_job_that_hangs_is_left_on_a_thread_that_keeps_no_process_from_ending() -> None:
    release, threads = threading.Event(), list[threading.Thread]()

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(10)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_thread("job", hang)
    [thread] = threads
    release.set()
    await asyncio.to_thread(thread.join)

    assert thread.daemon


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_what_has_an_address_has_no_fault(host: str) -> None:
    assert await name_fault(host, 5) == ""


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
async def test_what_has_none_is_named(host: str) -> None:
    assert (await name_fault(host, 5)).startswith(f"the name {host} has no address")
