"""The record of an inspector in the state file: additive, so that files without any stay as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebook_do.model import Inspected, Inspector, Recorded, RecordedWorker, StableId
from notebook_do.state.document import decode, decode_worker, encode, encode_worker
from notebook_do.state.strict import Damage

INSPECTOR = Inspector(
    script_name="chat",
    key="A" * 43 + "=",
    namespaces=(
        Inspected(stable_id=StableId("lobby"), class_name="Lobby", inspect="calls"),
        Inspected(stable_id=StableId("rooms"), class_name="Room", inspect=True),
    ),
)
WORKER = RecordedWorker(id="chat-inspector", script_name="chat-inspector", inspector=INSPECTOR)


def test_it_is_written_and_read() -> None:
    """A record with an inspector survives the file; one without has no word of it."""
    recorded = Recorded(lineage="f" * 32, workers=(replace(WORKER, id="a", inspector=None), WORKER))
    assert decode(encode(recorded, {})).workers == recorded.workers
    assert "inspector" not in encode_worker(recorded.workers[0])


def test_a_worker_that_is_no_inspector_any_more_has_no_word_of_it() -> None:
    """What an earlier save wrote of it does not come back."""
    before = encode(Recorded(lineage="f" * 32, workers=(WORKER,)), {})
    after = encode(Recorded(lineage="f" * 32, workers=(replace(WORKER, inspector=None),)), before)
    assert decode(after).workers[0].inspector is None


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"worker": 1}, "inspector"),
        ({"key": None}, "inspector"),
        ({"namespaces": []}, "inspector.namespaces"),
        ({"namespaces": {"rooms": {"class_name": "Room", "inspect": "all"}}}, "rooms.inspect"),
    ],
)
def test_what_is_damaged_is_named(wrong: dict[str, object], where: str) -> None:
    """A field that is not what was written is refused by its place."""
    written = encode_worker(WORKER)
    with pytest.raises(Damage, match=where):
        decode_worker("chat-inspector", {**written, "inspector": {**written["inspector"], **wrong}})
