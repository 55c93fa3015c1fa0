"""Any bytes in the place of the state file: a record, or one typed error; never something else, never a change."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebook_do.errors import StateError
from notebook_do.model import NamespaceId, Recorded, RecordedNamespace, RecordedWorker, StableId, Storage
from notebook_do.state.document import checksum, encode, write_document
from notebook_do.state.file import StateFile
from notebook_do.state.strict import Damage, parse

if TYPE_CHECKING:
    from pathlib import Path

GOOD = write_document(
    encode(
        Recorded(
            lineage="0" * 32,
            serial=7,
            workers=(RecordedWorker(id="w", script_name="w"),),
            namespaces=(
                RecordedNamespace(
                    stable_id=StableId("c"),
                    namespace_id=NamespaceId("1" * 32),
                    script_name="w",
                    class_name="C",
                    storage=Storage.SQLITE,
                ),
            ),
        ),
        {},
    )
)
PIECES = [
    b"",
    b"[",
    b"{",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"\xff",
    b"\r",
    b"<<<<<<< ",
    b"null",
    b"-",
]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Take the good file and put pieces into it."""
    content = GOOD
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        until = min(len(content), at + draw(st.integers(0, 40)))
        content = content[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=6)) + content[until:]
    return content


@st.composite
def resealed(draw: st.DrawFn) -> bytes:
    """Take the good document, change any value, and give it a right checksum."""
    document = json.loads(GOOD)
    value = draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.integers(), max_size=2)
        | st.just({})
    )
    inner = document
    while True:
        key = draw(st.sampled_from(sorted(inner)))
        if isinstance(inner[key], dict) and inner[key] and draw(st.booleans()):
            inner = inner[key]
            continue
        inner[key] = value
        break
    document["checksum"] = checksum(document)
    return json.dumps(document).encode()


def load(path: Path, content: bytes) -> Recorded | None:
    """Load `content` as a state file; None when it is refused."""
    path.write_bytes(content)
    try:
        found = StateFile(path).load()
    except StateError as error:
        told = str(error)
    else:
        return found
    finally:
        assert path.read_bytes() == content
    assert str(path) in told
    assert "\n" not in told
    return None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one path for all examples."""
    return tmp_path_factory.mktemp("fuzz") / "state.json"


@given(content=mangled())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_f54_mangled_bytes(place: Path, content: bytes) -> None:
    """F54: a mangled file is refused, or, when only its layout changed, read as what was written."""
    found = load(place, content)
    assert found is None or found == load(place, GOOD)


@given(content=resealed())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_f54_any_value_under_a_right_checksum(place: Path, content: bytes) -> None:
    """F54: a value of any kind in any field is refused with a typed error, or read, and then written as it was read."""
    found = load(place, content)
    assert found is None or load(place, write_document(encode(found, {}))) == found


@given(content=st.binary(max_size=200))
def test_f54_parse_is_strict_json(content: bytes) -> None:
    """F54: what the strict parser accepts is JSON, and the same value."""
    try:
        value = parse(content)
    except Damage:
        return
    assert json.dumps(json.loads(content)) == json.dumps(value)


@pytest.mark.parametrize(
    "content", [b'{"a":' * 200_000, b"[" * 5_000_000, b'"' * 999_999, b"\\" * 999_999, b'{"k":1,' * 99_999]
)
def test_f54_large_garbage_is_quick(place: Path, content: bytes) -> None:
    """F54: megabytes of garbage are refused within a second."""
    assert load(place, content) is None


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from([10**31, 10**32, -(10**32), 1e300])
        | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
    ),
    depth=st.integers(0, 70),
    twice=st.booleans(),
)
def test_json_of_ours_is_read_and_what_we_never_write_is_refused(*, value: object, depth: int, twice: bool) -> None:
    """What Python writes is read as it is, but for NaN, huge numbers, more than 64 levels and a key that is twice."""
    text = json.dumps(value)
    for _ in range(depth):
        text = f'{{"k":{text}}}'
    if twice:
        text = f'{{"a":{text},"\\u0061":1}}'

    def levels(inner: object) -> int:
        within = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else None
        return 0 if within is None else 1 + max(map(levels, within), default=0)

    def odd(inner: object) -> bool:
        if isinstance(inner, dict | list):
            return any(map(odd, inner.values() if isinstance(inner, dict) else inner))
        number = isinstance(inner, int | float) and not isinstance(inner, bool)
        return number and (not math.isfinite(inner) or len(json.dumps(inner)) > 32)

    if twice or depth + levels(value) > 64 or odd(value):
        with pytest.raises(Damage):
            parse(text.encode())
    else:
        assert json.dumps(parse(text.encode())) == json.dumps(json.loads(text))
