"""Websocket frames from clients that do not mask them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from notebook_do.local.process.listening import Masker

MESSAGES = st.lists(
    st.tuples(st.one_of(st.binary(max_size=200), st.integers(100, 70_000).map(bytes)), st.booleans()), max_size=5
)


def parsed(stream: bytes) -> list[bytes]:
    """Read a stream of frames as a server does: every one must be masked."""
    reader = StreamReader()
    reader.feed_data(stream)
    reader.feed_eof()
    found = []
    while True:
        parser = Frame.parse(reader.read_exact, mask=True)
        try:
            next(parser)
        except StopIteration as stop:
            found.append(bytes(stop.value.data))
        except EOFError:
            return found


@given(messages=MESSAGES, cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_every_frame_comes_out_masked(messages: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    """However a stream is cut, masked and unmasked frames come out masked, with their payloads unchanged."""
    stream = b"".join(Frame(Opcode.BINARY, data).serialize(mask=mask) for data, mask in messages)
    masker, out, at, turn = Masker(), b"", 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        out += masker.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert parsed(out) == [data for data, _ in messages]
