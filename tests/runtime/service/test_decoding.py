"""Bodies are decoded in the order of arrival, whatever their size."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

from mint_runtime.service.decoding import SMALL_BYTES, Decoder


def test_a_small_body_waits_for_a_large_one_before_it() -> None:
    async def scenario() -> list[str]:
        done: list[str] = []
        release = threading.Event()

        def large() -> None:
            release.wait()
            done.append("large")

        with closing(Decoder()) as decoder:
            first = asyncio.create_task(decoder.run(large, SMALL_BYTES + 1))
            await asyncio.sleep(0)
            second = asyncio.create_task(decoder.run(lambda: done.append("small"), 1))
            await asyncio.sleep(0.01)
            assert done == []
            release.set()
            await asyncio.gather(first, second)
        return done

    assert asyncio.run(scenario()) == ["large", "small"]


def test_small_bodies_stay_on_the_event_loop_and_large_ones_do_not() -> None:
    async def scenario() -> list[bool]:
        with closing(Decoder()) as decoder:
            threads = [await decoder.run(threading.current_thread, n) for n in (1, 1 << 20)]
        return [thread is threading.current_thread() for thread in threads]

    assert asyncio.run(scenario()) == [True, False]


def test_a_body_that_fails_does_not_hold_up_the_next() -> None:
    def broken() -> None:
        raise ValueError("bad")

    async def scenario() -> bool:
        with closing(Decoder()) as decoder:
            await asyncio.gather(decoder.run(broken, 1 << 20), return_exceptions=True)
            thread = await decoder.run(threading.current_thread, 1)
        return thread is threading.current_thread()

    assert asyncio.run(scenario())
