"""R2 buckets behind real bindings on real workerd."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

R2 = {"type": "r2_bucket", "name": "R2", "bucket_name": "my-bucket"}
EU = {"type": "r2_bucket", "name": "EU", "bucket_name": "my-bucket", "jurisdiction": "eu"}
UPLOADER = """
const part = (letter, size) => letter.repeat(size);
export default {
  async fetch(request, env) {
    const size = 5 << 20;
    const upload = await env.R2.createMultipartUpload("big", { customMetadata: { a: "b" } });
    const again = env.R2.resumeMultipartUpload("big", upload.uploadId);
    const parts = [await again.uploadPart(1, part("x", size)), await again.uploadPart(2, part("y", 10))];
    const before = await env.R2.head("big");
    const done = await upload.complete(parts);
    const end = await (await env.R2.get("big", { range: { suffix: 12 } })).text();
    const late = await again.uploadPart(3, "z").catch((error) => error.message);
    const other = await env.R2.createMultipartUpload("other");
    await other.uploadPart(1, "z");
    await other.abort();
    const small = await env.R2.createMultipartUpload("small");
    const tooSmall = [await small.uploadPart(1, "a"), await small.uploadPart(2, "b")];
    const refused = await small.complete(tooSmall).catch((error) => error.message);
    return Response.json({ before, size: done.size, etag: done.etag, custom: done.customMetadata, end, late, refused,
      other: await env.R2.head("other") });
  },
};
"""


def test_an_object_comes_back_with_its_metadata(ask: Callable[..., None]) -> None:
    """Bytes, HTTP and custom metadata, MD5 etag and size of a put are what get and head give."""

    async def story(r2: Any) -> None:
        options = {"httpMetadata": {"contentType": "text/x"}, "customMetadata": {"who": "mé"}}
        put = await r2.one("R2", "put", "a/ü", "hello", options)
        digest = hashlib.md5(b"hello").hexdigest()
        assert (put["key"], put["size"], put["etag"]) == ("a/ü", 5, digest)
        got, head, none = await r2.all(["R2", "get", "a/ü"], ["R2", "head", "a/ü"], ["R2", "get", "none"])
        assert got["text"] == "hello"
        assert got["httpMetadata"] == {"contentType": "text/x"}
        assert got["customMetadata"] == {"who": "mé"}
        assert got["checksums"] == {"md5": digest}
        assert {**head, "text": "hello"} == got
        assert none is None

    ask(story, R2)


def test_a_bucket_in_another_jurisdiction_is_another_bucket(ask: Callable[..., None]) -> None:
    """Buckets of one name in two jurisdictions share nothing."""

    async def story(r2: Any) -> None:
        await r2.one("R2", "put", "k", "here")
        assert await r2.one("EU", "head", "k") is None

    ask(story, R2, EU)


def test_ranges_give_a_part(ask: Callable[..., None]) -> None:
    """Offset, length and suffix, and what lies beyond the end, are as R2 has them."""

    async def story(r2: Any) -> None:
        await r2.one("R2", "put", "k", "0123456789")
        wanted = [{"offset": 2, "length": 3}, {"offset": 7}, {"suffix": 4}, {"offset": 8, "length": 99}, {"length": 2}]
        found = await r2.all(*(["R2", "get", "k", {"range": one}] for one in wanted))
        assert [one["text"] for one in found] == ["234", "789", "6789", "89", "01"]
        refused = await r2.one("R2", "get", "k", {"range": {"offset": 11}})
        assert refused["error"] == "get: The requested range is not satisfiable (10039)"

    ask(story, R2)


def test_conditions_hold_or_not(ask: Callable[..., None]) -> None:
    """A put that must not replace does not; a get whose condition fails gives the object without a body."""

    async def story(r2: Any) -> None:
        etag = (await r2.one("R2", "put", "k", "one"))["etag"]
        blocked = await r2.one("R2", "put", "k", "two", {"onlyIf": {"etagDoesNotMatch": etag}})
        assert blocked is None
        assert (await r2.one("R2", "get", "k"))["text"] == "one"
        same = await r2.one("R2", "get", "k", {"onlyIf": {"etagMatches": etag}})
        other = await r2.one("R2", "get", "k", {"onlyIf": {"etagMatches": "0" * 32}})
        assert (same["text"], other["text"], other["etag"]) == ("one", None, etag)
        late = await r2.one("R2", "get", "k", {"onlyIf": {"uploadedAfter": {"$date": "2100-01-01"}}})
        assert (late["text"], late["etag"]) == (None, etag)
        replaced = await r2.one("R2", "put", "k", "three", {"onlyIf": {"etagMatches": etag}})
        assert replaced["size"] == 5

    ask(story, R2)


def test_a_wrong_checksum_stores_nothing(ask: Callable[..., None]) -> None:
    """A checksum that does not fit is refused with R2's code; one that fits is kept."""

    async def story(r2: Any) -> None:
        refused = await r2.one("R2", "put", "k", "hello", {"sha256": "0" * 64})
        assert refused["error"].endswith("(10037)")
        assert await r2.one("R2", "head", "k") is None
        digest = hashlib.sha256(b"hello").hexdigest()
        assert (await r2.one("R2", "put", "k", "hello", {"sha256": digest}))["checksums"]["sha256"] == digest

    ask(story, R2)


def test_lists_page_and_fold(ask: Callable[..., None]) -> None:
    """A list pages through all keys; a delimiter folds keys into prefixes, each shown once."""

    async def story(r2: Any) -> None:
        keys = ["a/1", "a/2", "a/b/3", "b/4", "c", "d"]
        await r2.all(*(["R2", "put", key, "v", {"customMetadata": {"k": key}}] for key in keys))
        seen: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = await r2.one("R2", "list", {"limit": 2, "delimiter": "/", **more})
            seen += [one["key"] for one in page["objects"]] + page["delimitedPrefixes"]
            if not page["truncated"]:
                break
            more = {"cursor": page["cursor"]}
        assert seen == ["a/", "b/", "c", "d"]
        plain, inside = await r2.all(
            ["R2", "list", {"startAfter": "a/2", "include": ["customMetadata"]}],
            ["R2", "list", {"prefix": "a/", "delimiter": "/"}],
        )
        assert [one["key"] for one in plain["objects"]] == keys[2:]
        assert plain["objects"][0]["customMetadata"] == {"k": "a/b/3"}
        assert ([one["key"] for one in inside["objects"]], inside["delimitedPrefixes"]) == (["a/1", "a/2"], ["a/b/"])
        assert inside["objects"][0]["customMetadata"] == {}

    ask(story, R2)


def test_deleted_objects_leave_no_file(ask: Callable[..., None]) -> None:
    """One key or many are deleted; replaced and deleted objects leave nothing on the disk."""

    async def story(r2: Any) -> None:
        await r2.all(*(["R2", "put", key, "v"] for key in ("a", "b", "c", "c")))
        files = r2.stage.data / "services" / "r2" / "files"
        assert len(list(files.iterdir())) == 3
        await r2.all(["R2", "delete", "a"], ["R2", "delete", ["b", "nothing"]])
        assert [one["key"] for one in (await r2.one("R2", "list"))["objects"]] == ["c"]
        assert len(list(files.iterdir())) == 1

    ask(story, R2)


def test_a_multipart_upload_becomes_one_object(play: Callable[..., None]) -> None:
    """Parts become an object on completion and not before; aborted, late and too small ones do not."""

    async def story(stage: Any) -> None:
        stage.put("w", UPLOADER, bindings=(R2,))
        answer = (await stage.call("w")).json()
        assert answer["before"] is None
        assert (answer["size"], answer["custom"]) == ((5 << 20) + 10, {"a": "b"})
        assert answer["etag"].endswith("-2")
        assert answer["end"] == "xx" + "y" * 10
        assert answer["late"] == "uploadPart: The specified multipart upload does not exist. (10024)"
        assert answer["refused"].endswith("(10011)")
        assert answer["other"] is None

    play(story)


def test_a_file_that_no_row_names_is_swept(play: Callable[..., None]) -> None:
    """What a killed put left behind is gone after the next start; what was stored is not."""
    source = "export default { async fetch(r, env) { return new Response(r.method === 'PUT' ? (await env.R2.put('k', 'v')).key : await (await env.R2.get('k')).text()); } };"  # noqa: E501 - one Worker

    async def story(stage: Any) -> None:
        stage.put("w", source, bindings=(R2,))
        async with stage.running():
            assert await stage.text("w", method="PUT") == "k"
        left = stage.data / "services" / "r2" / "files" / "left-behind"
        left.write_bytes(b"half")
        async with stage.running():
            assert not left.exists()
            assert await stage.text("w") == "v"

    play(story, running=False)
