"""A pipe: everything arrives in order, no more than its bound waits in it, and neither side waits for a dead one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import SourceStalled
from artifactstore.transfer.pipe import IteratedStream, Pipe

pieces = st.lists(st.binary(max_size=40), max_size=20)


def drained(stream: Pipe | IteratedStream, size: int) -> bytes:
    """What comes out, read `size` bytes at a time."""
    taken = bytearray()
    buffer = bytearray(size)
    while count := stream.readinto(buffer):
        taken += buffer[:count]
    return bytes(taken)


@given(pieces, st.integers(1, 50), st.integers(1, 50))
def test_what_goes_in_comes_out(given_pieces: list[bytes], bound: int, size: int) -> None:
    """Whatever the pieces, the bound and the reads; at most the bound and one piece wait at any time."""
    pipe = Pipe("it", bound_bytes=bound)
    most = 0

    def give() -> None:
        nonlocal most
        for piece in given_pieces:
            pipe.give(piece)
            most = max(most, pipe._waiting_bytes)
        pipe.end()

    giver = threading.Thread(target=give)
    giver.start()
    assert drained(pipe, size) == b"".join(given_pieces)
    giver.join()
    assert most < bound + max(map(len, given_pieces), default=0) + 1


@given(pieces, st.integers(1, 50))
def test_an_event_loop_gives_without_being_held_up(given_pieces: list[bytes], bound: int) -> None:
    """The taker runs on a thread; the loop waits in between, and loses nothing."""
    pipe = Pipe("it", bound_bytes=bound)

    async def main() -> bytes:
        taken = asyncio.get_running_loop().run_in_executor(None, drained, pipe, 7)
        for piece in given_pieces:
            await pipe.give_soon(piece)
        await pipe.end_soon()
        return await taken

    assert asyncio.run(main()) == b"".join(given_pieces)


@given(pieces, st.integers(1, 50))
def test_an_iterable_is_a_stream(given_pieces: list[bytes], size: int) -> None:
    """Empty pieces are no end."""
    assert drained(IteratedStream(given_pieces), size) == b"".join(given_pieces)


def test_a_giver_does_not_wait_for_a_dead_taker() -> None:
    """One that waits for room is told, and so is one that comes later."""
    pipe = Pipe("it", bound_bytes=1)
    pipe.give(b"x")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pipe.give, b"y")
        pipe.fail(KeyError("dead"))
        with pytest.raises(KeyError):
            waiting.result(10)
    with pytest.raises(KeyError):
        pipe.give(b"z")
    with pytest.raises(KeyError):
        asyncio.run(pipe.give_soon(b"z"))
    with pytest.raises(KeyError):
        pipe.end()
    with pytest.raises(KeyError):
        asyncio.run(pipe.end_soon())


def test_a_taker_does_not_wait_for_a_dead_giver() -> None:
    """What had come before is not given as if it were all."""
    pipe = Pipe("it")
    pipe.give(b"half")
    pipe.fail(KeyError("dead"))
    with pytest.raises(KeyError):
        drained(pipe, 10)


def test_a_taker_has_only_so_much_patience() -> None:
    """A source that gives nothing is given up, with how long it was waited for."""
    pipe = Pipe("the source", patience_s=0.01)
    pipe.give(b"x")
    assert pipe.readinto(bytearray(5)) == 1
    with pytest.raises(SourceStalled, match=r"the source gave nothing for 0\.01 s"):
        pipe.readinto(bytearray(5))


def test_a_buffer_may_be_used_again() -> None:
    """What was given is what comes out, whatever the giver does to its memory meanwhile."""
    pipe, buffer = Pipe("it"), bytearray(b"first")
    pipe.give(buffer)
    buffer[:] = b"other"
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(drained, pipe, 3)
        pipe.end()
        assert taken.result(10) == b"first"
