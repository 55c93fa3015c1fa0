"""What is hidden of a value, by its name and by its shape, in a text, in JSON, in code and in headers."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import notebook_do as nd
from notebook_do.display.hiding import (
    BY_SHAPE,
    hidden,
    json_changes,
    shown_change,
    shown_header,
    shown_json,
    shown_name,
    shown_value,
    without_given,
    without_secrets,
)
from notebook_do.display.logged import shown_line
from notebook_do.display.naming import is_secret_name
from notebook_do.display.source import shown_code
from notebook_do.model import Json, PlainText, ValueBinding

PLANTED = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq+/hkiG9w0B\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "postgres://admin:hunter2pass@db.example.org/shop",
    "sk_live_4eC39HqLyjWDarj",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "AKIAIOSFODNN7EXAMPLE",
    "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA",
    "hooks.slack.com/services/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",
    "npm_16C7e42F292c6912E7710c838347Ae178B4a",
)
"""One of each shape."""


@pytest.mark.parametrize(
    "name",
    [
        *("TOKEN", "SESSION_TOKEN", "apiKey", "APIKey", "API_KEYS", "dbPassword", "db.passwd", "x-api-key", "Secrets"),
        *("PRIVATE_PEM", "awsCredentials", "SENTRY_DSN", "TOKEN2", "accesstoken", "APIKEY", "key"),
    ],
)
def test_a_name_of_a_secret(name: str) -> None:
    """Split at `_`, `-`, `.` and capitals; plurals count."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["LIMIT", "MONKEY", "keyboard", "TOKENIZER_MODEL", "secretary", "", "PASSAGE", "MODE"])
def test_another_name(name: str) -> None:
    """A word that only begins or ends like one is none."""
    assert not is_secret_name(name)


@pytest.mark.parametrize("planted", PLANTED)
def test_each_shape_is_hidden_wherever_it_stands(planted: str) -> None:
    """As a value, behind other words, in JSON, in a literal, in a comment; what is hidden says that it is."""
    shown = [
        shown_value("NOTE", planted),
        shown_value("NOTE", f"Bearer {planted}"),
        shown_value("NOTE", {"a": [planted, {"b": planted}]}),
        json_changes("NOTE", {"a": planted}, {"a": planted + "x"}),
        shown_code(f"const a = {json.dumps(planted)};"),
        shown_code(f"/* {planted} */ f()"),
        shown_code(f"const a = `{planted}`;"),
        shown_code(f"A = {json.dumps(planted)}  # {planted.splitlines()[0]}", language="python"),
        shown_header("x-note", planted),
        without_secrets(f"it said {planted}"),
        without_secrets(f"it said {planted.replace(chr(10), ' ')} and more"),
    ]
    for text in shown:
        assert all(line not in text for line in planted.splitlines()), text
        assert "hidden" in text


WITHIN = (
    "Bearer %",
    "Basic dXNlcjo%",
    "https://shop.example/cart?token=%&page=2",
    "https://shop.example/file?sig=%",
    "wss://0123456789abcdef%@o1.ingest.example/2",
    "https://%:@api.example/v1",
    "TOKEN=% npm run x",
    "[db]\nuser = ada\npassword=%\n",
    "[db]\nuser = ada\npassword = '%'\n",
    "db:\n  user: ada\n  password: %\n",
    '{"user": "ada", "password": "%"}',
    '{"text": "{\\"password\\": \\"%\\"}"}',
    "Server=db;User Id=ada;Password=%;",
    "tool --api-token % --page 2",
    "authorization: token %",
    "Set-Cookie: sid=%; Path=/",
    "Cookie: theme=dark; lang=en; session=%",
    "tool --api-token=% --page 2",
    "curl -H 'X-Api-Key: %' https://shop.example",
    "UPDATE members SET password = '%' WHERE name = 'ada'",
)
"""Longer texts in which `%` is a secret, which has no shape of its own."""


@pytest.mark.parametrize("text", WITHIN)
def test_what_a_longer_text_gives_to_a_name_is_hidden(text: str) -> None:
    """As a value, in JSON, in code, a sentence, a log line, a header, a key, an error."""
    planted = "hunter2x9"
    given = text.replace("%", planted)
    shown = [
        shown_value("NOTE", given),
        json.dumps(shown_json("NOTE", {"a": [given]})),
        json_changes("NOTE", {"a": given}, {"a": given + "x"}),
        shown_code(f"const a = {json.dumps(given)};"),
        shown_code(f"const a = `{given} ${{b}}`;"),
        shown_code(f"a = {given!r}", language="python"),
        without_secrets(given),
        shown_line(given),
        shown_header("x-note", given),
        shown_name(given),
        shown_value("NOTE", ValueError(given)),
    ]
    for one in shown:
        assert planted not in one, one
        assert "hidden" in one
    assert without_secrets(shown[6]) == shown[6], "what is hidden twice says what it said at first"
    # Of code and of sentences the rest stays.
    for part in ("shop.example", "page", "ada", "Path=/", "npm run x"):
        assert part not in text or (part in shown[6] and part in shown[3])


@pytest.mark.parametrize(
    "text",
    [
        *("password: required", "token=${token}", "?token=<your token>", "API_TOKEN=YOUR_TOKEN", "token=your-token"),
        *(
            "token_type=bearer",
            "max_tokens=4096",
            "input_tokens=1500",
            "http://localhost:8787?to=a@shop.example",
            "signature='(n),(n)->()'",
            "Invalid token: expired",
            "key=room1",
        ),
        *("--secret API_KEY=keyring", "--secret KEY2", "ssh://git@host.example/x", "Basic authentication", "page=2"),
        *("Bearer realm", "the token is read from env.TOKEN", "password=%s", "a 'Cookie:' header of 2 bytes", "x"),
    ],
)
def test_a_longer_text_without_a_secret_is_shown_as_it_is(text: str) -> None:
    """Names alone, types, places to fill in, what is said about a secret, and the sources of its value."""
    assert without_given(text) == text
    assert shown_code(f'const a = "{text}";') == f'const a = "{text}";'


def test_texts_of_code_that_is_no_secret_stay() -> None:
    """Of all texts of these rooms and all cells of its notebooks not one is changed."""
    root = Path(nd.__file__).parent
    trees = [ast.parse(path.read_text()) for path in root.glob("[c-i]*/**/*.py")]
    texts = [
        one.value
        for tree in trees
        for one in ast.walk(tree)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]
    cells = [
        "".join(cell["source"])
        for path in (root.parent / "notebooks").rglob("*.ipynb")
        for cell in json.loads(path.read_text())["cells"]
    ]
    assert len(texts) > 2_000
    assert len(cells) > 20
    assert [text for text in texts + cells if without_given(text) != text] == []


@pytest.mark.parametrize(
    "value",
    ["20", "fast", "https://example.org/a?b=1", "a sentence of many words, with 2026-11-27", "c" * 40, "1" * 40, ""],
)
def test_a_plain_value_is_shown_as_it_is(value: str) -> None:
    """In the look of code."""
    shown = shown_value("MODE", value)
    assert shown == value
    assert all(part.look == "code" for part in shown.parts)


def test_a_hidden_value_says_why_and_never_what() -> None:
    """By its name with its length, by its shape without; the words are no value, and do not look like one."""
    by_name = shown_value("SESSION_TOKEN", "x" * 32)
    assert by_name == "hidden because of its name (32 characters)"
    assert by_name.parts[0].look == ""
    assert shown_value("A", PLANTED[3]) == BY_SHAPE
    assert shown_change("TOKEN", "a", "b") == ("hidden because of its name (1 character)", "hidden, changed")
    assert shown_change("MODE", "a", "b") == ("a", "b")


def test_in_json_each_key_is_a_name() -> None:
    """A table under such a name is hidden whole, whatever it holds."""
    value = {"max": 20, "password": 1, "auth": {"api_key": "zz", "user": "u"}, "keys": {"a": "b"}, "none": None}
    assert shown_json("LIMITS", value) == {
        "max": 20,
        "password": "hidden because of its name",
        "auth": {"api_key": "hidden because of its name (2 characters)", "user": "u"},
        "keys": "hidden because of its name",
        "none": None,
    }
    assert shown_json("TOKENS", {"a": 1}) == "hidden because of its name"


def test_a_change_of_json_names_three_paths() -> None:
    """Only the paths that differ, then how many more; what is hidden only changed."""
    before = {"max": 20, "burst": 5, "list": [1, 2], "password": "old"}
    assert json_changes("L", before, {**before, "max": 50}) == "JSON, 1 of 5 values: .max 20 → 50"
    after = {"max": 50, "list": [1, 3], "password": "new", "more": True}
    said = json_changes("L", before, after)
    assert said == "JSON, 5 of 6 values: .max 20 → 50; .burst is removed, was 5; .list[1] 2 → 3 and 2 more"
    assert json_changes("L", {"password": "a"}, {"password": "b"}) == "JSON, 1 of 1 values: .password hidden, changed"
    assert json_changes("L", 1, 2) == "1 → 2"
    assert json_changes("L", {"a b": 1}, {"a b": 2}) == 'JSON, 1 of 1 values: ["a b"] 1 → 2'


CODE = """import x from "key-value";
const API_KEY = "aaa1", other = 'shown';
const token: string = "aaa2";
const o = { apiKey: "aaa3", "x-api-key": `aaa4
aaa5`, kind: "token", pattern: /["'`]/, "secret": 'aaa6' };
h.set("authorization-token", "aaa7");
const a = env.SECRET ?? "aaa8";
if (token === "aaa9") storage.get("key");
"""


def test_a_literal_that_is_assigned_to_such_a_name_is_hidden() -> None:
    """Constants, properties, defaults, comparisons, arguments behind a name; names and all other code stay."""
    shown = shown_code(CODE)
    assert "aaa" not in shown
    assert shown.count("hidden because of its name") == 8
    assert shown.count("\n") == CODE.count("\n")
    for part in ('"key-value"', "'shown'", 'kind: "token"', "/[\"'`]/", 'storage.get("key")', "const API_KEY = "):
        assert part in shown
    assert shown_code('PASSWORD = f"aaa"\nx = 1', language="python") == (
        'PASSWORD = f"hidden because of its name (3 characters)"\nx = 1'
    )


def test_code_without_secrets_is_shown_as_it_is() -> None:
    """Not one letter of it is another."""
    source = 'import { DurableObject } from "cloudflare:workers";\n// a note\nexport class A2345678901234567890123 {}\n'
    assert shown_code(source) == source


def test_headers_that_carry_a_session_are_hidden() -> None:
    """Cookies and authorization, whatever is in them."""
    assert shown_header("Set-Cookie", "a=b") == "hidden because of its name (3 characters)"
    assert shown_header("Authorization", "x") == "hidden because of its name (1 character)"
    assert shown_header("content-type", "text/plain") == "text/plain"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(PLANTED), st.text(max_size=5))
def test_no_json_shows_a_planted_secret(value: object, planted: str, key: str) -> None:
    """However it is nested, and whatever it replaces."""
    whole = {"x": [value, {key: planted}]}
    for text in (shown_value("A", whole), json_changes("A", value, whole), json_changes("A", whole, value)):
        assert all(line not in text for line in planted.splitlines())


@given(st.text(max_size=200))
def test_any_text_can_be_code(text: str) -> None:
    """Lines stay lines, and nothing raises."""
    for language in ("javascript", "python", "json", "config"):
        assert shown_code(text, language=language).count("\n") == text.count("\n")
    assert isinstance(hidden("A", text), str)


@pytest.mark.parametrize(
    "name", ["secretkey", "ssh_privatekey", "accesskeys", "AUTHKEY", "signingkey", "encryptionkey"]
)
def test_a_name_whose_words_nothing_parts(name: str) -> None:
    """Kinds of keys are known without a capital between their words."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        'const API_KEY = "{}" + x;',
        'const API_KEY = "v1" + "{}";',
        'const apiKey = env.X ?? "{}";',
        'const label = env.API_KEY ?? "{}";',
        'const password = dev ? "{}" : "";',
        'const password = dev ? "" : "{}";',
        'const password = ("{}");',
        'const tokens = ["{}"];',
        '// const API_KEY = "{}"',
        "/* old:\n password: '{}' */",
    ],
)
def test_a_literal_that_is_a_part_of_such_a_value_is_hidden(text: str) -> None:
    """What a value falls back to, either of two, a part of it, in brackets, in code that is a comment now."""
    assert "hunter2" not in shown_code(text.format("hunter2"))


def test_a_literal_beside_such_a_name_is_shown() -> None:
    """An argument of a call, a message that has the word, another property."""
    for text in (
        'const key = url.searchParams.get("id");',
        'console.log("key: " + key + "done")',
        'const o = { key: a, label: "text" };',
        '(key) => "x" + key',
        'class A { key() { return "x"; } }',
    ):
        assert shown_code(text) == text


def test_a_key_of_json_that_looks_like_a_secret_is_in_no_path() -> None:
    """Two of them stay two; true in place of 1 is a change."""
    keys = {"ghp_16C7e42F292c6912E7710c838347Ae178B4a": 1, "AKIAIOSFODNN7EXAMPLE": {"x": 1}}
    said = json_changes("CONFIG", keys, dict.fromkeys(keys, 2))
    assert said.count(BY_SHAPE) == said.count("→") + said.count(" is ")
    assert "ghp_" not in said
    assert "AKIA" not in said
    assert json_changes("CONFIG", {"a": 1}, {"a": True}) == "JSON, 1 of 1 values: .a 1 → true"


def test_the_repr_of_a_binding_hides_what_its_views_hide() -> None:
    """A plain value and JSON, in a plan's steps and in a declaration: by name and by shape. All else is shown."""
    json_value = Json({"password": "hunter2", "a": 1})
    texts = {"API_KEY": "hunter2", "URL": PLANTED[2]}
    bound = [ValueBinding(name=name, value=PlainText(text=text)) for name, text in texts.items()]
    bound.append(ValueBinding(name="CONFIG", value=json_value))
    declared = nd.Worker("api", script="export default {}", bindings={**texts, "CONFIG": json_value})
    for text in (repr(bound), repr(declared)):
        assert "hunter2" not in text
        assert "'a': 1" in text
    assert repr(PlainText(text="20")) == "PlainText(text='20')"


@pytest.mark.parametrize(
    "piece", ["a-", "eyJ-", "a+", "x://", "-----BEGIN A-----\n", "eyJaaaaaa.", "://a:", "aa=", "aa=\"bb='"]
)
def test_a_value_that_is_made_to_take_long_takes_little(piece: str) -> None:
    """A guard against minutes: a visitor of a Worker can have a value stored, which a page of it shows."""
    began = time.process_time()
    hidden("note", piece * 40_000)
    assert time.process_time() - began < 10


def test_an_address_with_a_password_is_hidden_whatever_its_scheme() -> None:
    """Also one that is longer than any scheme is, or begins within a word."""
    for scheme in ("https", "a" * 40, "mongodb+srv", "1x", "jdbc:postgresql", "a-" * 40 + "b"):
        assert "hunter2pass" not in without_secrets(f"at {scheme}://admin:hunter2pass@db.example.org/shop")
    assert without_secrets("mysql://ada:p@hunter2pass@db.example.org/shop").endswith("secretdb.example.org/shop")
