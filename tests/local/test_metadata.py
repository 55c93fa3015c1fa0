"""What an upload may ask for, judged by the upload alone: each refusal with its code, and what is let through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notebook_do.local.account.metadata import (
    ScriptUpload,
    check_date,
    check_modules,
    check_parts,
    check_script_name,
    check_shape,
    entry_of,
    read_bindings,
    read_settings,
    read_upload,
)
from notebook_do.local.account.records import DEFERRED, ScriptCode, StoredModule, Version
from notebook_do.local.rules.refusals import Refused

JS = "application/javascript+module"
ROOM = {"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"}


def module(name: str = "index.js", kind: str = JS) -> StoredModule:
    """Make one module."""
    return StoredModule(name=name, content_type=kind, digest="d" * 64, size=1)


def version(*bindings: dict[str, Any]) -> Version:
    """Make the version before."""
    code = ScriptCode(main_module="index.js", modules=(module(),))
    return Version(id="v", number=1, created_on="", source="api", code=code, etag="e", bindings=bindings)


def upload(
    metadata: dict[str, Any], *modules: StoredModule, previous: Version | None = None, **more: Any
) -> ScriptUpload:
    """Read a whole upload."""
    return read_upload({"main_module": "index.js", **metadata}, modules or (module(),), previous=previous, **more)


def refused(message: str, **more: Any) -> Any:
    """Expect a refusal that says so."""
    return pytest.raises(Refused, match=message, **more)


@pytest.mark.parametrize("name", ["a", "0", "_x", "a-b_c", "a" * 63])
def test_script_names(name: str) -> None:
    """A script's name is a label of a host name; two labels are none."""
    check_script_name(name)
    with refused("is not a valid script name"):
        check_script_name(f"{name}.{name}")


@pytest.mark.parametrize("name", ["", "A", "-a", "a.b", "a b", "a" * 64, "a\n", "ä"])
def test_names_that_no_script_has(name: str) -> None:
    """Anything else is refused by name."""
    with refused("is not a valid script name"):
        check_script_name(name)


@pytest.mark.parametrize("name", ["index.js", "lib/a.py", "a b.txt", "ü.js", "a" * 512])
def test_module_names(name: str) -> None:
    """A module's name is a path below the Worker."""
    assert check_modules([module(name)], name) == (module(name),)


@pytest.mark.parametrize("name", ["", "/a.js", "a\\b", "a:b", "../a.js", "a/../b", "a\x00b", "a\nb", "a" * 514])
def test_names_that_no_module_has(name: str) -> None:
    """A name that leads out of the Worker, or that no file has, is refused."""
    with refused("cannot be the name of a module"):
        check_modules([module(name)], name)


def test_modules_are_distinct_known_and_have_the_entry() -> None:
    """Each name once, each type one that Workers have, the main module among them; in the order of the upload."""
    two = (module(), module("data.txt", "text/plain"))
    assert check_modules(two, "index.js") == two
    with refused("index.js"):
        check_modules([module(), module()], "index.js")
    with refused("image/png"):
        check_modules([module("a.png", "image/png")], "a.png")
    with refused("other.js"):
        check_modules([module()], "other.js")


@pytest.mark.parametrize("key", ["limits", "placement", "annotations", "observability", "migrations", "exports"])
def test_objects_are_objects(key: str) -> None:
    """A table that is none is refused by its key; an absent one, or null, says nothing."""
    check_shape({key: {}, "other": 1})
    check_shape({key: None})
    with refused(f"{key}.*must be an object"):
        check_shape({key: []})


@pytest.mark.parametrize("key", ["bindings", "compatibility_flags", "keep_bindings", "tags", "tail_consumers"])
def test_lists_are_lists(key: str) -> None:
    """A list that is none is refused by its key."""
    check_shape({key: []})
    check_shape({key: None})
    with refused(f"{key}.*must be a list"):
        check_shape({key: {}})


@pytest.mark.parametrize("key", ["compatibility_flags", "tags", "keep_bindings"])
def test_lists_of_names_hold_names(key: str) -> None:
    """What is no string among strings is refused."""
    check_shape({key: ["a", "b"]})
    with refused(f"{key}.*must be a list of strings"):
        check_shape({key: ["a", 1]})


@pytest.mark.parametrize("key", ["logpush", "keep_assets"])
def test_switches_are_on_or_off(key: str) -> None:
    """A switch is true, false, null or absent."""
    for value in (True, False, None):
        check_shape({key: value})
    with refused(f"{key}.*must be true or false"):
        check_shape({key: "yes"})


def test_what_this_cloudflare_does_not_have() -> None:
    """Assets in plain metadata, containers and tail consumers of a wrong form are refused; empty ones are nothing."""
    check_shape({"assets": None, "containers": [], "tail_consumers": [{"service": "tail"}]})
    check_shape({"containers": [{"class_name": "A"}]})
    with refused("assets"):
        check_shape({"assets": {"jwt": "x"}})
    with refused("containers.*must be an object"):
        check_shape({"containers": ["A"]})
    with refused("tail_consumers.*must be an object"):
        check_shape({"tail_consumers": ["tail"]})
    with refused("Tag is too large"):
        check_shape({"tags": ["x" * 1025]})
    with refused("code_update_strategy"):
        check_shape({"code_update_strategy": {"mode": "later"}})


def test_dates() -> None:
    """A compatibility date is a day that has come, written as YYYY-MM-DD; none is none."""
    today = datetime.now(UTC).date()
    for value in (None, "2021-11-02", str(today)):
        check_date(value)
    for value in ("2021-11-2", "20211102", "2021-13-01", "2021-02-30", "", 7, "\uff12\uff10\uff12\uff11-11-02"):
        with refused("is not a compatibility date"):
            check_date(value)
    with refused("in the future"):
        check_date(str(today + timedelta(days=2)))


def test_entries() -> None:
    """The entry is a main module; the older form has another name and is told apart from none at all."""
    assert entry_of({"main_module": "a.js", "body_part": "script"}) == "a.js"
    with refused("service|addEventListener|body_part|modules"):
        entry_of({"body_part": "script"})
    for given in ({}, {"main_module": ""}, {"main_module": 1}):
        with refused("main_module|entry"):
            entry_of(given)


def test_a_whole_upload() -> None:
    """Everything is read into its place; what is not said has Cloudflare's defaults."""
    plain = upload({})
    assert (plain.code.compatibility_date, plain.code.compatibility_flags) == ("2021-11-02", ())
    assert (plain.bindings, plain.migrations, plain.exports, plain.options) == ((), None, None, {})
    assert plain.strategy == DEFERRED
    full = upload(
        {
            "compatibility_date": "2025-01-01",
            "compatibility_flags": ["nodejs_compat"],
            "bindings": [ROOM],
            "exports": {"Room": {"type": "durable-object", "storage": "sqlite"}},
            "limits": {"cpu_ms": 5},
            "placement": None,
            "usage_model": "standard",
            "logpush": True,
            "code_update_strategy": {"mode": "immediate"},
        }
    )
    assert (full.code.compatibility_date, full.code.compatibility_flags) == ("2025-01-01", ("nodejs_compat",))
    assert full.bindings == (ROOM,)
    assert full.exports == {"Room": {"type": "durable-object", "storage": "sqlite"}}
    assert full.options == {"limits": {"cpu_ms": 5}, "usage_model": "standard"}
    assert full.settings["logpush"] is True
    assert full.strategy == {"mode": "immediate"}


def test_settings_of_the_script() -> None:
    """What is not named is off, but for tags: those stay as they are unless they are named, empty ones too."""
    assert read_settings({}) == {"logpush": False, "observability": {"enabled": False}, "tail_consumers": []}
    assert read_settings({"tags": []})["tags"] == []
    told = read_settings({"observability": {"enabled": True}, "tail_consumers": [{"service": "t"}], "tags": ["a"]})
    assert told == {
        "logpush": False,
        "observability": {"enabled": True},
        "tail_consumers": [{"service": "t"}],
        "tags": ["a"],
    }


LIVE = {"Room": {"type": "durable-object", "storage": "sqlite"}}
WORKFLOW = {"Flow": {"type": "workflow", "name": "flow"}}


def test_a_worker_speaks_one_lifecycle_form() -> None:
    """`exports` of classes excludes migrations that ask for something; entries of entrypoints do not."""
    assert upload({"exports": LIVE}).declares_classes
    assert not upload({"exports": WORKFLOW}).declares_classes
    assert not upload({}).declares_classes
    assert upload({"migrations": {"new_tag": "v1", "steps": []}}).migrates
    assert not upload({"migrations": {"steps": [], "new_classes": []}}).migrates
    assert not upload({}).migrates
    for migrations in (None, {}, {"steps": []}):
        upload({"exports": LIVE, "migrations": migrations})
    upload({"exports": WORKFLOW, "migrations": {"new_tag": "v1", "new_sqlite_classes": ["A"]}})
    with refused("cannot be used in one upload"):
        upload({"exports": LIVE, "migrations": {"new_tag": "v1", "new_sqlite_classes": ["A"]}})


def test_a_binding_whose_content_is_a_part_needs_it() -> None:
    """A blob is in the upload under the name that its binding says; others need nothing."""
    blob = {"type": "text_blob", "name": "TEXT", "part": "text.txt"}
    check_parts(upload({"bindings": [ROOM]}))
    check_parts(upload({"bindings": [blob]}, module(), module("text.txt", "text/plain")))
    with refused("TEXT.*text.txt"):
        check_parts(upload({"bindings": [blob]}))


@pytest.mark.parametrize("name", ["A", "_a", "$x9", "A" * 255])
def test_binding_names(name: str) -> None:
    """A binding's name is an identifier."""
    assert read_bindings([{"type": "plain_text", "name": name, "text": ""}], None)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "A" * 256, None, 7, "a\n"])
def test_names_that_no_binding_has(name: Any) -> None:
    """Anything else is refused."""
    with refused("is not a valid binding name"):
        read_bindings([{"type": "plain_text", "name": name, "text": ""}], None)


@pytest.mark.parametrize(
    ("binding", "key"),
    [
        ({"type": "plain_text"}, "text"),
        ({"type": "plain_text", "text": 1}, "text"),
        ({"type": "secret_text"}, "text"),
        ({"type": "json"}, "json"),
        ({"type": "service"}, "service"),
        ({"type": "ratelimit", "simple": []}, "simple"),
        ({"type": "kv_namespace"}, "namespace_id"),
        ({"type": "r2_bucket", "bucket_name": None}, "bucket_name"),
        ({"type": "queue"}, "queue_name"),
        ({"type": "d1"}, "id"),
        ({"type": "durable_object_namespace"}, "class_name"),
        ({"type": "durable_object_namespace", "class_name": ""}, "class_name"),
        ({"type": "durable_object_namespace", "class_name": 7}, "class_name"),
        ({"type": None}, "type"),
        ({}, "type"),
    ],
)
def test_a_binding_that_lacks_what_it_needs(binding: dict[str, Any], key: str) -> None:
    """The refusal names the binding and the field."""
    with refused(f"binding B of type .* must have a valid `{key}` specified"):
        read_bindings([{"name": "B", **binding}], None)


def test_bindings_that_are_let_through() -> None:
    """A value may be empty, null in JSON, and a namespace may be told by its id alone."""
    given = [
        {"type": "plain_text", "name": "A", "text": ""},
        {"type": "json", "name": "B", "json": None},
        {"type": "durable_object_namespace", "name": "C", "namespace_id": "0" * 32},
        {"type": "d1", "name": "D", "database_id": "x"},
    ]
    found = read_bindings(given, None)
    assert found == (*given[:3], {**given[3], "id": "x"})
    foreign = ({**ROOM, "dispatch_namespace": "d"}, {"type": "brand_new", "name": "N"}, {"type": "ai", "name": "AI"})
    assert read_bindings(list(foreign), None) == foreign
    with refused("bindings.*must be an object"):
        read_bindings(["A"], None)
    with refused("A"):
        read_bindings([given[0], given[0]], None)


SECRET = {"type": "secret_text", "name": "KEY", "text": "s"}
TEXT = {"type": "plain_text", "name": "WORD", "text": "w"}


def test_what_an_upload_takes_over_from_the_version_before() -> None:
    """`inherit` by either name, a secret by name and type, and types to be kept; what is sent anew wins."""
    before = version(SECRET, TEXT)
    assert read_bindings([{"type": "inherit", "name": "KEY"}], before) == (SECRET,)
    renamed = read_bindings([{"type": "inherit", "name": "NEW", "old_name": "WORD"}], before)
    assert renamed == ({**TEXT, "name": "NEW"},)
    assert read_bindings([{"type": "secret_text", "name": "KEY"}], before) == (SECRET,)
    assert read_bindings([{**SECRET, "text": "t"}], before) == ({**SECRET, "text": "t"},)
    assert read_bindings([], before) == ()
    assert read_bindings([], before, keep=["secret_text"]) == (SECRET,)
    assert read_bindings([], before, keep=["plain_text", "json"]) == (TEXT,)
    assert read_bindings([{**TEXT, "text": "x"}], before, keep=["plain_text"]) == ({**TEXT, "text": "x"},)
    with refused("must have a valid `text` specified"):
        read_bindings([{"type": "secret_text", "name": "OTHER"}], before)


def test_what_cannot_be_inherited_is_left_out_or_refused() -> None:
    """Without `bindings_inherit=strict` it is dropped; with it each is named, by the name that was looked for."""
    lost = [{"type": "inherit", "name": "A"}, {"type": "inherit", "name": "B", "old_name": "OLD"}, TEXT]
    assert read_bindings(lost, version(SECRET)) == (TEXT,)
    assert read_bindings(lost, None) == (TEXT,)
    with refused("A") as caught:
        read_bindings(lost, version(SECRET), strict=True)
    assert len(caught.value.errors) == 2
    assert "OLD" in caught.value.errors[1]["message"]
    assert read_bindings([{"type": "inherit", "name": "KEY"}], version(SECRET), strict=True) == (SECRET,)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"compatibility_date": "soon"}, "soon"),
        ({"exports": {"Room": 1}}, "`type` must be"),
        ({"exports": {"Room": {"type": "room"}}}, "`type` must be"),
    ],
)
def test_an_upload_is_refused_for_a_date_or_an_export_that_is_none(metadata: dict[str, Any], words: str) -> None:
    """Whatever account it is for; each with what is wrong about it."""
    with pytest.raises(Refused) as refused:
        upload(metadata)
    assert words in str(refused.value.errors)
