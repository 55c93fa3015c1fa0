"""Which literals of code are hidden, because they are given to a name of a secret, and which are not."""

from __future__ import annotations

import string
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notebook_do.display.literals import CodeReader
from notebook_do.display.source import _looked_at, language_of, shown_code
from notebook_do.plan.code import text_diff

if TYPE_CHECKING:
    from notebook_do.display.tokens import Language

SECRET = "hunter2x"

HIDDEN_JAVASCRIPT = (
    'const map = { ["password"]: "%" }',
    "const map = { [`password`]: '%' }",
    'const token = <const>"%"',
    'new Map([["password","%"]])',
    'const password = String("%")',
    'password = /* x */ "%"',
    'x = {"password": ["%"]}',
    'x = {"password": [["%", "%"], {a: "%"}]}',
    'setPassword("%")',
    'client.password("%")',
    "const t = `Bearer ${x}`; const token = `%${x}`;",
    'headers.set("authorization", "Bearer %")',
    "headers.append('Cookie', `%`)",
    'fetch(u, { headers: { Authorization: "Bearer %" } })',
    'fetch(u, { headers: { "authorization": "Bearer " + "%" } })',
    'fetch(u, { headers: [["authorization", "%"]] })',
    'env.TOKEN ??= "%"',
    'env["TOKEN"] ||= "%"',
    'function f(password = "%", b = 1) {}',
    'constructor(private readonly token: string = "%") {}',
    'const f = ({ password = "%", token: t = "%" }) => t',
    'return <Login password="%" api-key=\'%\' token={"%"} />',
    "return <p>Don't</p><Login password='%' />",
    'return <div><br/></div><Login password="%" x="/"/>',
    "// API_TOKEN=%",
    "/* TOKEN=%\n * password: %\n */",
    "// password = %",
    "// Authorization: Bearer %",
    '// const password = f("%")',
    'const a = env.SECRET ?? x ?? "%"',
    'const a = env.SECRET || (x ? "%" : "%")',
    'const password = x === "prod" ? "%" : "%"',
    'const password =\n   "%"',
    'this.#password = "%"',
    'const { token = "%" } = env',
    'const password: string | undefined = "%"',
    'const tokens: Record<string, string> = { a: "%" }',
    'const tokens = { a: { b: "%" } }',
    'const token = Buffer.from("%", "base64")',
    'const token = new TextEncoder().encode("%")',
    'const token = await (await decode("%"))',
    'const token = env.get("TOKEN", "%")',
    'const [user, password] = ["%", "%"]',
    '{ name: "API_TOKEN", value: "%" }',
    '{"name": "API_TOKEN", "value": "%"}',
    'if (password === "%") {}',
    'if ("%" !== env.PASSWORD) {}',
    "class A { static token = \"%\"; secret = '%' }",
    'a = `${b ? `x` : c}`; password = "%"',
    'r = /["\'`]/; password = "%"',
    'x = a / b; password = "%"; y = c / d',
    "password = `%\n%`",
    'passwords.push("a"); o = {a, password: "%", b}',
    '{password:"%",a:1}',
    'let a=1,password="%",b=2',
    'for (const password of ["%", "%"]) {}',
    'password = a ? b : c ? "%" : `%`',
    'const password = () => "%"',
    'process.env.DB_PASSWORD = process.env.X || "%"',
    'createClient({ url, auth: { username: "x", password: "%" } })',
    'Object.assign(env, { apiKey: "%" })',
    'const key = "%"',
    'const o = { key: "%" }',
    'const apiKey = ["%"].join("")',
    'const postgres = "postgres://admin:%@db/x"',
    "const x = `postgres://admin:%@${host}/x`",
    "`${`postgres://admin:%@h`}`",
    'export default { token: "%" }',
    'export const TOKEN = "%" as const',
    'const token = <string>"%"',
    'token = (0, "%")',
    'headers.set("x-api-key", "%")',
    'url.searchParams.set("token", "%")',
)

HIDDEN_PYTHON = (
    'token = x or "%"',
    'token = os.environ.get("TOKEN") or "%"',
    'token = os.getenv("TOKEN", "%")',
    'x = os.environ.get("TOKEN", "%")',
    'os.environ["TOKEN"] = "%"',
    'password: str = "%"',
    'def f(password="%", x=1): pass',
    'def f(password: str = "%"): pass',
    'connect(user="x", password="%")',
    'd = {"password": "%"}',
    'd = {"password": ["%"]}',
    'd = dict(password="%")',
    'd = [("password", "%")]',
    'headers.set("authorization", "%")',
    'password = """%\n%"""',
    'password = f"%{x}"',
    'password = ("%"\n   "%")',
    'user, password = "%", "%"',
    'self.password = "%"',
    'password = "%" if x else "%"',
    'password = x if y == "a" else "%"',
    'if password == "%": pass',
    'if password == rb"%": pass',
    "# TOKEN=%",
    '# password = "%"',
    'if (password := "%"): pass',
    'class A:\n    token = "%"\n    token: str = "%"',
    'password = base64.b64decode("%")',
    'password = SecretStr("%")',
    "password = 'a' \\\n   '%'",
)

SHOWN_JAVASCRIPT = (
    'if (key === "topic") {}',
    'if ("topic" === key) {}',
    'switch (key) { case "key": return "x"; case "token": break; default: y("z") }',
    'if (key !== "x" && token) { y = "z" }',
    'for (const key of ["a", "b"]) { f("x") }',
    'for (const key in { a: "x" }) { f("x") }',
    'for (const [key, value] of Object.entries(x)) out[key] = value + "x"',
    'keys.forEach((key) => f("x"))',
    'const key = url.searchParams.get("id");',
    'const token = request.headers.get("authorization");',
    'const token = request.headers.get("authorization")?.replace("Bearer ", "") ;',
    'const token = header.split(" ")[1]',
    'const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"])',
    'const secret = await env.SECRETS.get("x")',
    'if (typeof token === "string") {}',
    'const ok = key ? "yes" : "no"',
    'const label = a ? token : "none"',
    'x = a ? key : "x"',
    'const s = x.key, label = "text"',
    'console.log("key: " + key + "done")',
    'if (!token) return new Response("Unauthorized", { status: 401 })',
    'if (!token) { return "no token" }',
    'storage.get("key"); storage.delete("key")',
    'await this.ctx.storage.put(key, "x")',
    'import { secretKey } from "./key.js"',
    'import x from "key-value"',
    'const getToken = async () => { return f("x") }',
    'const keyOf = (id) => "room:" + id',
    'export class Token extends DurableObject { get name() { return "x" } }',
    'type: "token"',
    'const o = { kind: "token", label: "x" }',
    'const r = token.type === "name" ? "a" : "b"',
    'element.addEventListener("keydown", (event) => { if (event.key === "Enter") send("x") })',
    'const keys = await storage.list({ prefix: "a" })',
    'const [key, value] = line.split("=")',
    'const key = line.slice(0, 3), rest = "x"',
    "const key = f(x)",
    'const label = "x"',
    'headers.get("authorization") === "x"',
    'if (event.code === "KeyA") f("x")',
    'return Response.json({ error: "token missing" }, { status: 401 })',
    "const token = crypto.randomUUID()",
    '"use strict"',
    'new Map([["name", "x"], ["mode", "y"]])',
    "// token: string",
    "/** @param {string} token - the token of the user */",
    '// the key = value pairs of "x"',
    '// if (key === "x") y("z")',
    'const map = new Map(Object.entries({ a: "x" }))',
    'const TOKEN_HEADER = x; const name = "x-token"',
    'this.state.storage.sql.exec("SELECT value FROM kv WHERE key = ?", key)',
    'const cookie = request.headers.get("cookie") ?? ""',
    'function hasKey(key) { return key in { a: "x" } }',
    'const value = await cache.match(key) ?? "none"',
    'let token; let text = "x"',
    "const token = f()",
    'const text = "x"',
    "a.key = b",
    'c = "x"',
)

SHOWN_PYTHON = (
    "label = 'x' if token else 'y'",
    'if key == "topic": x = "y"',
    'for key in ("a", "b"): f("x")',
    'if not token: return "x"',
    'key = request.query["id"]',
    'token = request.headers.get("authorization")',
    'x = {"kind": "token", "b": "c"}',
    'if key in ("a", "b"): pass',
    'lambda key: "x"',
    'sorted(x, key=lambda y: y["name"])',
    'def get_token(x): return "x"',
    "token = None",
    'label = "x"',
    'print(key, "x")',
    'keys = x.split(",")',
    'for key, value in x.items(): print("a")',
    'raise KeyError("x")',
    'except KeyError: return "x"',
)

CONFIG = (
    "[tokens]\na = '%'\n[b]\nc = 1",
    "# it's\npassword = '%'",
    'password = """%\n%"""',
    "auth = {password = '%'}",
    "token = ['%']",
    "TOKEN=%\nMODE=x",
    "export API_KEY=%",
    "# TOKEN=%",
    "password: %\nname: x",
)


def written(case: str) -> str:
    """Return a case with the secret in it."""
    return case.replace("%", SECRET)


@pytest.mark.parametrize("case", HIDDEN_JAVASCRIPT)
def test_a_literal_of_javascript_that_is_given_to_such_a_name_is_hidden(case: str) -> None:
    """However it is given: in a pair, a call, a default, an attribute, a list, a template, a comment."""
    shown = shown_code(written(case))
    assert SECRET not in shown
    assert "hidden because" in shown
    assert shown.count("\n") == case.count("\n")


@pytest.mark.parametrize("case", HIDDEN_PYTHON)
def test_a_literal_of_python_that_is_given_to_such_a_name_is_hidden(case: str) -> None:
    """What `or` falls back to, keywords, defaults, several names at once."""
    shown = shown_code(written(case), language="python")
    assert SECRET not in shown
    assert shown.count("\n") == case.count("\n")


@pytest.mark.parametrize("case", CONFIG)
def test_a_value_of_a_file_of_settings_is_hidden(case: str) -> None:
    """TOML, YAML and .env, with quotes and without; a table whose name is one of a secret as a whole."""
    shown = shown_code(written(case), language="config")
    assert SECRET not in shown
    assert shown.count("\n") == case.count("\n")


def test_in_a_json_module_each_key_is_a_name() -> None:
    """Also of a table or a list that has such a name: as in JSON that is a value."""
    text = '{"keys": {"a": "%"}, "b": "shown", "c": {"token": [1, {"x": "%"}]}}'.replace("%", SECRET)
    shown = shown_code(text, language=language_of("config.json"))
    assert SECRET not in shown
    assert '"b": "shown"' in shown


def test_ordinary_code_of_workers_is_shown_as_it_is() -> None:
    """Comparisons, loops, look-ups, conditions, functions with such a name: each alone, and all in one."""
    for language, cases in (("javascript", SHOWN_JAVASCRIPT), ("python", SHOWN_PYTHON)):
        for case in (*cases, "\n".join(cases)):
            assert shown_code(case, language=language) == case


def test_only_the_literal_of_such_a_name_is_hidden_beside_others() -> None:
    """The next condition of a statement, the next attribute of an element, the next argument by name."""
    for text in (
        "UPDATE members SET api_key = '%' WHERE name = 'ada'",
        "<Login password='%' name='ada' />",
        "connect(password='%', name='ada')",
    ):
        shown = shown_code(written(text))
        assert SECRET not in shown
        assert "'ada'" in shown


def test_the_code_of_this_package_is_shown_as_it_is() -> None:
    """The modules of the inspector are what Workers are written like."""
    for path in (Path(__file__).parents[2] / "notebook_do" / "inspector").glob("*.js"):
        assert shown_code(path.read_text()) == path.read_text(), path.name


def test_a_diff_hides_a_literal_that_begins_before_it() -> None:
    """A hunk has three lines around a change: what is hidden is told from the whole text."""
    lines = [f"line {n} {SECRET}" for n in range(20)]
    before = "const password = `" + "\n".join(lines) + "`;\n"
    shown = "\n".join(text_diff("index.js", before, before.replace("line 12", "line twelve")).lines)
    assert SECRET not in shown
    assert "line" not in shown.replace("hidden", "")


def test_what_is_hidden_twice_says_what_it_said_at_first() -> None:
    """Lines of a frame are hidden once; the length that is named is the value's."""
    assert "(8 characters)" in shown_code(f'password = "{SECRET}"')


# --- generated

SECRETS = st.text(string.ascii_letters + string.digits + "!#%&+*.", min_size=6, max_size=20).map(
    lambda text: f"Zq{text}"
)
NAMES = st.sampled_from(
    ["password", "API_KEY", "apiKey", "dbPassword", "SESSION_TOKEN", "secret", "authToken", "privateKey", "accessKey"]
)
FILLERS = st.lists(
    st.sampled_from(
        [*SHOWN_JAVASCRIPT, "x = a / b", "f(`a${b}c`)", "/['\"]/.test(x)", "// it's", "g({ a: [1, 'b'] })"]
    ),
    max_size=4,
).map("\n".join)
VALUES = st.sampled_from(
    [
        "'%'",
        '"%"',
        "`%`",
        "['%']",
        "[[1, '%']]",
        "x ?? '%'",
        "x || (y ? '%' : z)",
        "String('%')",
        "/* a */ '%'",
        "'a' +\n '%'",
    ]
)
FORMS = st.sampled_from(
    [
        *(
            "const @ = %;",
            "let a = 1, @ = %;",
            "o = { a: 1, @: %, b: 2 };",
            'o = { "@": % };',
            "this.@ = %;",
            "env.@ ??= %;",
        ),
        *(
            'env["@"] = %;',
            "function f(a, @ = %) {}",
            'new Map([["@", %]]);',
            'h.set("@", %);',
            "<A @={%} />",
            "// @ = %",
        ),
        *("class A { @ = % }", "const { @ = % } = o;", "const @: string = %;", "/* @ = % */"),
    ]
)


@given(FILLERS, FORMS, NAMES, VALUES, SECRETS, FILLERS)
@example("", "<A @={%} />", "password", "'%'", "Zq000000", "g({ a: [1, 'b'] })")
def test_a_planted_secret_with_such_a_name_is_shown_in_no_code(
    before: str, form: str, name: str, value: str, secret: str, after: str
) -> None:
    """Whatever code is around it; all else stays."""
    value = value.replace("/* a */ ", "") if form.startswith("/*") else value  # a comment ends at the first */
    planted = form.replace("@", name).replace("%", value.replace("\n", " ")).replace("%", secret)
    shown = shown_code(f"{before}\n{planted}\n{after}")
    assert secret not in shown
    assert shown.startswith(f"{before}\n")
    assert shown.endswith(f"\n{after}")


SHAPED = st.sampled_from(
    [
        "ghp_16C7e42F292c6912E7710c838347",
        "sk_live_4eC39HqLyjWDarj",
        "postgres://a:hunter2x@db/shop",
        "AKIAIOSFODNN7EXAMPLE",
    ]
)


@given(
    FILLERS,
    SHAPED,
    st.sampled_from(["'%'", '"a %"', "`%`", "`${a}%${b}`", "// %", "/* % */", "f('%')", "`${'%'}`"]),
    FILLERS,
)
def test_a_planted_secret_of_a_known_shape_is_shown_in_no_code(before: str, secret: str, form: str, after: str) -> None:
    """In each literal and comment, whatever it is given to."""
    shown = shown_code(f"{before}\n{form.replace('%', secret)}\n{after}")
    assert secret not in shown
    assert "hidden because" in shown  # a template behind a call, also on the next line, is an argument of it


ALPHABET = st.sampled_from(
    [*"\"'`/\\$,:;=?(){}[]<>#*.\n\t ax", "${", "*/", "//", '"""', "key", "password", "=>", "===", "\ud800"]
)


@given(st.lists(ALPHABET, max_size=60).map("".join))
@example("`" * 3 + "${" * 40)
@example("password = " + "(" * 500)
@example("//" * 3000)
def test_nothing_that_looks_like_code_raises(text: str) -> None:
    """Brackets, quotes and templates without an end, in each language; lines stay lines."""
    for language in ("javascript", "python", "json", "config"):
        assert shown_code(text, language=language).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "piece",
    [
        "`${",
        '"\\',
        "/[",
        "=/[",
        "/*",
        "(",
        "{",
        "'",
        '"""',
        "a+",
        "password=",
        "// ",
        "key:",
        "-----BEGIN A-----",
        "a:b=",
        "[[",
        "a-",
        "eyJ-",
        "-----BEGIN A-----\n",
        "/[/]",
    ],
)
def test_code_that_is_made_to_take_long_takes_seconds(piece: str) -> None:
    """Quotes, brackets and slashes without an end: what looked for each end to the end would take minutes."""
    began = time.process_time()
    shown_code((piece * 40_000)[:40_000])
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("`${" * 20_000 + "}`" * 20_000, "javascript"),
        ("/[" * 100_000, "javascript"),
        ("=/[" * 100_000, "json"),
        ("[password]\n'x'\n" * 25_000, "config"),
        ("'" + "a-" * 50_000 + "'", "javascript"),
    ],
)
def test_what_is_nested_or_repeated_without_an_end_is_read_once(text: str, language: Language) -> None:
    """A guard against minutes, which each of these took: live code of another tool may be anything."""
    began = time.process_time()
    shown_code(text, language=language)
    assert time.process_time() - began < 20


def test_of_templates_within_each_other_the_outermost_is_looked_at_whole() -> None:
    """A secret whose parts stand around a template in it is hidden, at each depth, and each piece by itself."""
    inner = (f"`postgres://a:{SECRET}${{x}}@h`", f"`${{x}} postgres://a:{SECRET}@h`", f"'postgres://a:{SECRET}@h'")
    texts = [f"f({'`${' * depth}{one}{'}`' * depth})" for depth in range(1, 5) for one in inner]
    for text in texts:
        assert SECRET not in shown_code(text), text
    found = [one for one in CodeReader("`${" * 500 + "}`" * 500, "javascript").read() if one.kind == "template"]
    assert len(found) == 500
    assert len([one for one in _looked_at(found) if one.kind == "template"]) == 1


def test_quotes_within_a_regular_expression_begin_nothing() -> None:
    """Long ones too: its classes, its runs of letters, its escapes."""
    for regular in ("[\"']", "a" * 900 + "'", "[" + "x" * 390 + "']", r"\/'\[" * 40, "[a'/]" * 60, r"[\]']"):
        shown = shown_code(f'r = /{regular}/; password = "{SECRET}"')
        assert SECRET not in shown
        assert f"r = /{regular}/;" in shown
