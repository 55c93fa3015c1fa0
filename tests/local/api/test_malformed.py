"""Uploads that are not what they should be: each is refused as Cloudflare refuses, and none is our failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOUNDARY = "xxBOUNDARYxx"
CODE = b"export default { fetch() { return new Response('hello'); } };"
MODULE = "application/javascript+module"


def part(name: str, body: bytes, *, filename: str | None = None, kind: str | None = None) -> bytes:
    """Write one part as it goes over the wire."""
    file = "" if filename is None else f'; filename="{filename}"'
    typed = "" if kind is None else f"Content-Type: {kind}\r\n"
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{typed}\r\n'
    return head.encode() + body + b"\r\n"


def upload(metadata: Any, *more: bytes, end: bytes = f"--{BOUNDARY}--\r\n".encode()) -> bytes:
    """Write a whole upload with a good main module."""
    told = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return part("metadata", told) + part("index.js", CODE, filename="index.js", kind=MODULE) + b"".join(more) + end


def meta(**more: Any) -> dict[str, Any]:
    """Give metadata that would be accepted, and something else."""
    return {"main_module": "index.js", "compatibility_date": "2026-06-01", **more}


def put(server: Any, script: str, content: bytes, boundary: str = BOUNDARY, *, url: str = "") -> Any:
    """Upload raw bytes."""
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}".encode("latin-1")}
    return server.http.put(f"{server.scripts}/{script}{url}", content=content, headers=headers)


@pytest.mark.parametrize("kind", ["text_blob", "data_blob", "wasm_module"])
@pytest.mark.parametrize("named", ["nowhere.txt", "", "../x", None, 7])
def test_a_blob_without_its_part_is_refused(server: Any, script: str, kind: str, named: Any) -> None:
    """A binding whose part is not in the upload is 400 with the binding's name, and no script appears."""
    answer = put(server, script, upload(meta(bindings=[{"type": kind, "name": "BLOB", "part": named}])))
    assert answer.status_code == 400, answer.text
    assert server.code_of(answer) == 10021
    assert "BLOB" in answer.json()["errors"][0]["message"]
    assert server.code_of(server.http.get(f"{server.scripts}/{script}")) == 10007


def test_a_kept_blob_needs_its_part_again(server: Any, script: str) -> None:
    """A blob binding that an upload inherits or keeps, or a new content, must bring the part along."""
    blob = {"type": "text_blob", "name": "BLOB", "part": "note.txt"}
    note = part("note.txt", b"noted", filename="note.txt", kind="text/plain")
    assert put(server, script, upload(meta(bindings=[blob]), note)).status_code == 200
    for metadata, url in (
        (meta(bindings=[{"type": "inherit", "name": "BLOB"}]), ""),
        (meta(keep_bindings=["text_blob"]), ""),
        (meta(), "/content"),
    ):
        answer = put(server, script, upload(metadata), url=url)
        assert (answer.status_code, server.code_of(answer)) == (400, 10021), answer.text
    changed = {"settings": (None, json.dumps({"bindings": [{**blob, "part": "other.txt"}]}))}
    answer = server.http.patch(f"{server.scripts}/{script}/settings", files=changed)
    assert (answer.status_code, server.code_of(answer)) == (400, 10021), answer.text
    assert put(server, script, upload(meta(keep_bindings=["text_blob"]), note)).status_code == 200


@pytest.mark.parametrize("length", [257, 300, 4000])
def test_a_boundary_that_is_too_long_is_refused(server: Any, script: str, length: int) -> None:
    """A boundary of more than 256 characters is 400."""
    body = upload(meta()).replace(BOUNDARY.encode(), b"b" * length)
    answer = put(server, script, body, "b" * length)
    assert (answer.status_code, server.code_of(answer)) == (400, 10001)


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (upload(meta()), '""'),
        (upload(meta()), "another"),
        (upload(meta()), '"xxBOUNDARYxx'),
        (upload(meta()), "é"),
        (upload(meta(), end=b""), BOUNDARY),
        (upload(meta(), end=f"--{BOUNDARY}".encode()), BOUNDARY),
        (upload(meta())[:100], BOUNDARY),
        (upload(meta())[: len(part("metadata", json.dumps(meta()).encode())) + 3], BOUNDARY),
        (part("index.js", CODE, filename="index.js") + f"--{BOUNDARY}--\r\n".encode(), BOUNDARY),
        *(
            (upload(told), BOUNDARY)
            for told in (b"", b"[]", b"null", b'"x"', b"7", b"{", b"\xff\xfe", b"{} {}", b"NaN")
        ),
        (upload(b"[" * 100_000), BOUNDARY),
        (upload(b'{"a":' * 50_000), BOUNDARY),
        (upload(b'{"main_module": ' + b"9" * 5000 + b"}"), BOUNDARY),
        (upload(meta(), part("metadata", b"{}")), BOUNDARY),
        (upload(meta(), part("index.js", CODE, filename="index.js", kind=MODULE)), BOUNDARY),
        (upload(meta(), b"--" + BOUNDARY.encode() + b"\r\n\r\nno headers\r\n"), BOUNDARY),
        (upload(meta(), b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition form-data\r\n\r\nx\r\n"), BOUNDARY),
    ],
)
def test_a_malformed_upload_is_refused(server: Any, script: str, body: bytes, boundary: str) -> None:
    """Wrong and missing boundaries, cut bodies, missing, double and unreadable metadata: 4xx, and no script appears."""
    answer = put(server, script, body, boundary)
    assert answer.status_code in (400, 415), answer.text
    assert server.code_of(answer) in (10001, 10021)
    assert server.code_of(server.http.get(f"{server.scripts}/{script}")) == 10007
    assert not list((server.target.data / "incoming").iterdir())


@pytest.fixture(scope="module")
def lenient(server: Any) -> Iterator[Any]:
    """Give the server with a client that takes every answer: odd values that are kept come back as they are."""
    api = type(server)(server.target)
    api.http.event_hooks = {"response": []}
    yield api
    for script in ("malformed", "malformed-settings"):  # the tests of other files look at every answer
        api.http.delete(f"{api.scripts}/{script}?force=true")
    api.http.close()


TYPES = (
    *(
        "plain_text",
        "secret_text",
        "json",
        "text_blob",
        "data_blob",
        "wasm_module",
        "service",
        "kv_namespace",
        "inherit",
    ),
    *(
        "r2_bucket",
        "queue",
        "d1",
        "durable_object_namespace",
        "ratelimit",
        "version_metadata",
        "worker_loader",
        "x",
        "",
    ),
)
KEYS = (
    *("name", "text", "json", "part", "service", "class_name", "namespace_id", "bucket_name", "queue_name", "id"),
    *("script_name", "simple", "old_name", "entrypoint", "props", "environment"),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=12),
    st.sampled_from(["", "index.js", "../x", "A", "\x00", "\u202e", "é", "a" * 300]),
)
VALUES = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
BINDINGS = st.lists(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4).flatmap(
        lambda fields: st.sampled_from(TYPES).map(lambda kind: {"name": "B", **fields, "type": kind})
    ),
    max_size=3,
)
STEPS = st.dictionaries(
    st.sampled_from(["new_classes", "new_sqlite_classes", "renamed_classes", "deleted_classes", "transferred_classes"]),
    VALUES | st.lists(st.dictionaries(st.sampled_from(["from", "to", "from_script"]), VALUES, max_size=3), max_size=2),
    max_size=2,
)
FIELDS = (
    *("main_module", "body_part", "compatibility_date", "compatibility_flags", "usage_model", "tags", "limits"),
    *("placement", "observability", "logpush", "tail_consumers", "keep_bindings", "containers", "annotations"),
    *("cache_options", "code_update_strategy", "keep_assets", "assets", "exports", "migrations", "bindings"),
)
METADATA = st.builds(
    lambda good, odd, steps, bindings, exports: {**good, **odd, **steps, **bindings, **exports},
    st.sampled_from([meta(), {}, {"main_module": "index.js"}]),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    st.just({})
    | st.dictionaries(
        st.sampled_from(["old_tag", "new_tag", "steps", "tag"]), VALUES | st.lists(STEPS), max_size=3
    ).map(lambda found: {"migrations": found})
    | STEPS.map(lambda found: {"migrations": found}),
    st.just({}) | BINDINGS.map(lambda found: {"bindings": found}),
    st.just({})
    | st.dictionaries(
        st.sampled_from(["A", "default", "", "é"]),
        st.dictionaries(st.sampled_from(["type", "state", "storage", "renamed_to", "from_script"]), VALUES, max_size=4),
        max_size=2,
    ).map(lambda found: {"exports": found}),
)
NAMES = st.text(max_size=8) | st.sampled_from(
    ["metadata", "settings", "index.js", "", '"', "a;b", "\\", "a\tb", "x" * 600]
)
PARTS = st.lists(
    st.builds(
        lambda name, body, filename, kind: part(name, body, filename=filename, kind=kind),
        NAMES.map(lambda n: n.encode("utf-8", "replace").decode().replace("\r", "").replace("\n", "")),
        st.binary(max_size=40),
        st.none() | st.sampled_from(["", "a.js", "../../x", "é", 'q"q']),
        st.none()
        | st.sampled_from(["", MODULE, "text/plain; charset=nonsense", "a/b", ";;", "text/plain; charset*=x''y"]),
    ),
    max_size=3,
)


@given(
    metadata=METADATA | VALUES,
    parts=PARTS,
    cut=st.none() | st.integers(0, 400),
    boundary=st.sampled_from([BOUNDARY] * 6 + ["b" * 257, "é", '"']),
)
@settings(max_examples=settings.default.max_examples // 2, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_upload_is_a_failure_of_ours(
    lenient: Any, metadata: Any, parts: list[bytes], cut: int | None, boundary: str
) -> None:
    """Whatever the metadata, the parts and the framing are: the answer is a yes or a refusal, and never a 5xx."""
    body = upload(metadata, *parts)
    answer = put(lenient, "malformed", body[:cut], boundary)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (answer.text, body[:cut])


@given(settings_=METADATA, parts=PARTS)
@settings(max_examples=settings.default.max_examples // 4, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_change_of_settings_is_a_failure_of_ours(lenient: Any, settings_: Any, parts: list[bytes]) -> None:
    """The same for a change of settings, and for a version that is not deployed."""
    assert lenient.upload("malformed-settings").status_code == 200
    told = part("settings", json.dumps(settings_).encode()) + b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    scripts = f"{lenient.scripts}/malformed-settings"
    sent: list[Callable[[], Any]] = [
        lambda: lenient.http.patch(f"{scripts}/settings", content=told, headers=headers),
        lambda: lenient.http.patch(f"{scripts}/script-settings", json=settings_),
        lambda: lenient.http.post(f"{scripts}/versions", content=upload(settings_, *parts), headers=headers),
    ]
    for send in sent:
        answer = send()
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (answer.text, settings_)


@pytest.mark.parametrize("model", [{"": 0}, 1, "other", []])
def test_a_usage_model_is_one_of_three(lenient: Any, model: Any) -> None:
    """What is kept of an upload is what the lists of the account may hold."""
    assert lenient.upload("usage", usage_model="bundled").status_code == 200
    refused = lenient.upload("usage", usage_model=model)
    assert refused.status_code == 400
    assert "usage_model: must be one of standard, bundled, unbound" in refused.text
