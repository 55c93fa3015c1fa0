"""The client over real transports: what leaves, what is believed of an answer, and what an error may hold."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.cloudflare import answer as answers
from notebook_do.cloudflare.answer import Answer, NoAnswer, parse_json, retry_after
from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.rate import Rate
from notebook_do.cloudflare.retry import Pace
from notebook_do.cloudflare.wire import UploadForm
from notebook_do.credentials.token import Sealed, Token
from notebook_do.errors import ApiError, CredentialError, TargetError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKEN = "CANARY-token-0123456789abcdef"
ACCOUNT = "a" * 32
BASE = "https://api.cloudflare.com/client/v4"


async def no_sleep(_seconds: float) -> None:
    """Take no time; the clock of these tests stands still only for as long as nobody waits."""
    CLOCK[0] += _seconds


CLOCK = [0.0]


def client(handler: Callable[[httpx.Request], httpx.Response], base: str = BASE) -> Client:
    """Make a client whose requests `handler` answers."""
    pace = Pace(clock=lambda: CLOCK[0], sleep=no_sleep)
    return Client(base, ACCOUNT, Token(TOKEN), transport=httpx.MockTransport(handler), pace=pace)


def ask(handler: Callable[[httpx.Request], httpx.Response], call: Callable[[Client], Awaitable[Any]]) -> Any:
    """Make one call."""

    async def inside() -> Any:
        async with client(handler) as one:
            return await call(one)

    return asyncio.run(inside())


def yes(result: Any, **info: Any) -> httpx.Response:
    """Answer as Cloudflare does."""
    return httpx.Response(
        200, json={"success": True, "errors": [], "messages": [], "result": result, "result_info": info}
    )


def no(status: int, *errors: dict[str, Any]) -> httpx.Response:
    """Refuse as Cloudflare does."""
    return httpx.Response(status, json={"success": False, "errors": list(errors), "messages": [], "result": None})


FORM = UploadForm(
    metadata=Sealed('{"main_module":"m.js"}'),
    parts=(("m.js", ("m.js", b"\x00\r\n--x", "text/plain")),),
    secrets=(),
    digest="",
)


def test_each_method_asks_its_endpoint() -> None:
    """Every method sends the documented method and path; names are quoted, never spliced."""
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.raw_path.decode()}")
        lists = request.url.path.endswith(("/scripts", "/namespaces", "/objects", "/accounts"))
        both = {"deployments": [], "schedules": [], "enabled": True, "subdomain": "me"}
        return yes([] if lists else both)

    async def calls(one: Client) -> None:
        await one.list_scripts()
        await one.script_settings("a/../b?c")
        await one.upload_script("w", FORM)
        await one.delete_script("w")
        await one.script_url("w")
        await one.set_script_url("w", enabled=True)
        await one.schedules("w")
        await one.set_schedules("w", ("* * * * *",))
        await one.list_deployments("w")
        await one.list_namespaces()
        assert [page async for page in one.list_objects("n")] == [[]]
        await one.list_accounts()
        await one.get_account()
        await one.verify_token()
        await one.account_subdomain()

    ask(handler, calls)
    root, workers = "/client/v4", f"/client/v4/accounts/{ACCOUNT}/workers"
    assert seen == [
        f"GET {workers}/scripts",
        f"GET {workers}/scripts/a%2F..%2Fb%3Fc/settings",
        f"PUT {workers}/scripts/w?excludeScript=true&bindings_inherit=strict",
        f"DELETE {workers}/scripts/w",
        f"GET {workers}/scripts/w/subdomain",
        f"POST {workers}/scripts/w/subdomain",
        f"GET {workers}/scripts/w/schedules",
        f"PUT {workers}/scripts/w/schedules",
        f"GET {workers}/scripts/w/deployments",
        f"GET {workers}/durable_objects/namespaces?page=1&per_page=1000",
        f"GET {workers}/durable_objects/namespaces/n/objects?limit=1000",
        f"GET {root}/accounts",
        f"GET {root}/accounts/{ACCOUNT}",
        f"GET {root}/user/tokens/verify",
        f"GET {workers}/subdomain",
    ]


def test_the_workers_dev_switch_has_the_date_of_its_meaning() -> None:
    """The header that wrangler sends with it, and with nothing else: the server's defaults are those of that day."""
    header = "Cloudflare-Workers-Script-Api-Date"
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.headers.get(header)))
        return yes({"enabled": True})

    async def calls(one: Client) -> None:
        await one.script_url("w")
        await one.set_script_url("w", enabled=True)
        await one.upload_script("w", FORM)

    ask(handler, calls)
    assert seen == [("GET", None), ("POST", "2025-08-01"), ("PUT", None)]


def test_the_upload_is_multipart_with_a_bare_metadata_part() -> None:
    """The metadata part has no file name and no type; modules have both, and their bytes arrive unchanged."""
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return yes({"id": "w"})

    ask(handler, lambda one: one.upload_script("w", FORM))
    assert b'Content-Disposition: form-data; name="metadata"\r\n\r\n{"main_module":"m.js"}\r\n' in bodies[0]
    assert b'name="m.js"; filename="m.js"\r\nContent-Type: text/plain\r\n\r\n\x00\r\n--x\r\n' in bodies[0]


def test_namespaces_of_all_pages() -> None:
    """Every page is read, by the page count where there is one, else until a page is not full."""

    def counted(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        return yes([{"id": f"{page}"}], total_pages=3, page=page)

    assert [n["id"] for n in ask(counted, lambda one: one.list_namespaces())] == ["1", "2", "3"]

    def uncounted(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        return yes([{"id": f"{page}-{i}"} for i in range(1000 if page < 3 else 1)])

    assert len(ask(uncounted, lambda one: one.list_namespaces())) == 2001


@pytest.mark.parametrize("result", [None, {}, "x", 5])
def test_p2_another_shape_is_not_an_empty_list(result: Any) -> None:
    """P2: a list that is answered as something else is an error: it never reads as "there is nothing"."""
    for call in (Client.list_scripts, Client.list_namespaces, Client.list_accounts):
        with pytest.raises(ApiError, match="unexpected shape"):
            ask(lambda _: yes(result), call)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://evil.example/", BASE + "/elsewhere"])
def test_s25_redirects_are_errors(status: int, location: str) -> None:
    """S25: no redirect is followed, to no host; the token reaches only the first address."""
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(status, headers={"location": location})

    with pytest.raises(ApiError, match="redirect"):
        ask(handler, lambda one: one.list_scripts())
    assert seen == [f"{BASE}/accounts/{ACCOUNT}/workers/scripts"]


def test_s26_proxies_of_the_environment_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """S26: with proxy variables set, not one byte goes to the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as api:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        served = threading.Thread(target=serve_once, args=(api,))
        served.start()

        async def call() -> Any:
            base = f"http://127.0.0.1:{api.getsockname()[1]}/client/v4"
            async with Client(base, ACCOUNT, Token(TOKEN)) as one:
                return await one.list_scripts()

        assert asyncio.run(call()) == []
        served.join(timeout=60)
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def serve_once(api: socket.socket) -> None:
    """Answer one request."""
    connection, _ = api.accept()
    with connection:
        connection.recv(65536)
        body = json.dumps({"success": True, "result": []}).encode()
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )


def test_s24_a_token_stays_with_its_origin() -> None:
    """S24: a token that was used with one origin is refused for another, before anything is sent."""
    token = Token(TOKEN)
    Client(BASE, ACCOUNT, token)
    with pytest.raises(CredentialError, match="not sent to"):
        Client("http://127.0.0.1:8787/client/v4", ACCOUNT, token)


def test_a_refusal_tells_no_secret_that_a_worker_threw() -> None:
    """It is raised, kept in the journal and shown in many places; ids in it stay."""
    id_ = "0123456789abcdef0123456789abcdef"
    thrown = f"Uncaught Error: no postgres://app:hunter2@db with sk_live_4eC39HqLyjWDarj in {id_}"
    with pytest.raises(ApiError) as caught:
        ask(lambda _: no(400, {"code": 10021, "message": thrown}), lambda one: one.upload_script("w", FORM))
    assert "hunter2" not in str(caught.value)
    assert "sk_live" not in str(caught.value)
    assert id_ in caught.value.message


def test_all_texts_and_the_code_of_a_refusal() -> None:
    """An error holds Cloudflare's first code and every text, with status, method and path, in one line."""
    refusal = no(
        400,
        {"code": 10061, "message": "first\n\tline \x1b[31m\u202e"},
        {"code": 10064, "message": "second"},
    )
    with pytest.raises(ApiError) as caught:
        ask(lambda _: refusal, lambda one: one.upload_script("w", FORM))
    error = caught.value
    assert (error.code, error.status, error.method) == (10061, 400, "PUT")
    assert error.path.endswith("/scripts/w")
    assert error.message == r"first line \x1b[31m\u202e; second"


def test_details_of_an_exports_reconciliation() -> None:
    """The one error of a refused reconciliation tells every class, with suggestion and the scripts that bind it."""
    details = [
        {
            "class": "A",
            "scenario": "orphaned_provisioned_namespace",
            "message": "A is orphaned.",
            "suggestion": "Declare it.",
        },
        {"class": "B", "scenario": "tombstone", "message": "B is bound.", "referencing_scripts": ["x", "y"]},
    ]
    refusal = no(400, {"code": 100402, "message": "reconciliation failed", "meta": {"details": details}})
    with pytest.raises(ApiError, match=r"A is orphaned\. Declare it\.; B is bound\. \(bound by x, y\)") as caught:
        ask(lambda _: refusal, lambda one: one.upload_script("w", FORM))
    assert caught.value.scenarios == {"orphaned_provisioned_namespace", "tombstone"}


@pytest.mark.parametrize("code", [1000, 6003, 9109, 10000, 10063, 10079, 10097, 10099])
def test_known_codes_say_what_to_do(code: int) -> None:
    """A refusal whose way out is known names it."""
    with pytest.raises(ApiError, match="→"):
        ask(lambda _: no(400, {"code": code, "message": "no"}), lambda one: one.upload_script("w", FORM))


def test_s30_echoed_secrets_are_masked() -> None:
    """S01, S30: a server that echoes the token or a secret binding's value does not get them into an error."""
    form = UploadForm(metadata=Sealed("{}"), parts=(), secrets=(Sealed("hunter2-hunter2"),), digest="")

    def handler(request: httpx.Request) -> httpx.Response:
        return no(400, {"code": 10021, "message": f"bad hunter2-hunter2 and {request.headers['authorization']}"})

    with pytest.raises(ApiError) as caught:
        ask(handler, lambda one: one.upload_script("w", form))
    assert str(caught.value).count("***") == 2
    assert "hunter2" not in repr(caught.value)
    assert TOKEN not in repr(caught.value)


def test_an_empty_body_is_a_yes_only_for_delete() -> None:
    """The delete endpoint answers nothing; anywhere else an empty answer proves nothing."""
    empty = httpx.Response(200)
    assert ask(lambda _: empty, lambda one: one.delete_script("w")) is None
    with pytest.raises(ApiError, match="not Cloudflare's JSON"):
        ask(lambda _: empty, lambda one: one.upload_script("w", FORM))


def test_a_mutation_is_sent_once() -> None:
    """The client never repeats a mutation by itself; a read is repeated, at most 4 times."""
    for call, count in ((lambda one: one.upload_script("w", FORM), 1), (lambda one: one.list_scripts(), 4)):
        sent: list[int] = []

        def handler(_request: httpx.Request, sent: list[int] = sent) -> httpx.Response:
            sent.append(1)
            return no(500, {"code": 10013, "message": "unknown"})

        with pytest.raises(ApiError):
            ask(handler, call)
        assert len(sent) == count


def test_f36_what_the_answers_say_is_left_holds_every_client_back() -> None:
    """F36: a client heeds what each answer says is left, whoever sends; the last requests of a window are not spent."""
    waits: list[str] = []

    def handler(_request: httpx.Request) -> httpx.Response:
        answer = yes([])
        answer.headers["ratelimit"] = '"default";r=300;t=30'
        answer.headers["ratelimit-policy"] = '"default";q=1200;w=300'
        return answer

    async def three() -> None:
        rate = Rate()
        for _ in range(3):
            pace = Pace(clock=lambda: CLOCK[0], sleep=no_sleep, emit=waits.append)
            transport = httpx.MockTransport(handler)
            async with Client(BASE, ACCOUNT, Token(TOKEN), transport=transport, pace=pace, rate=rate) as one:
                await one.list_scripts()

    begun = CLOCK[0]
    asyncio.run(three())
    assert 60 <= CLOCK[0] - begun < 64
    assert waits
    assert all("are left to what else you do" in line for line in waits)


@pytest.mark.thorough
def test_s31_a_bomb_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """S31: an answer that unpacks to more than the cap is not read on, and is an error."""
    monkeypatch.setattr("notebook_do.cloudflare.http.LARGEST_ANSWER", 1 << 20)
    packed = gzip.compress(b"0" * (64 << 20))

    def handler(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})

    with pytest.raises(ApiError, match="not Cloudflare's JSON"):
        ask(handler, lambda one: one.list_scripts())


@pytest.mark.thorough
@given(
    body=st.binary(max_size=300)
    | st.text(max_size=100).map(str.encode)
    | st.sampled_from([b"[" * 10**5, b'{"a":' * 10**5])
)
def test_s31_any_body_gives_a_typed_error(body: bytes) -> None:
    """S31: whatever an answer holds, reading it gives a result or an ApiError of one line, and never anything else."""
    for status in (200, 400, 500):
        reply = Answer(method="GET", path="/x", status=status, headers={}, body=body)
        error = answers.read(reply)
        assert isinstance(error, ApiError)
        assert "\n" not in str(error)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_parse_json_is_json(value: Any) -> None:
    """What is plain JSON of bounded depth is parsed as json parses it."""
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ['"["', r'"\"]"', '"]]{"', "0"])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('["]}",{"a":', "}]"), ("[0,", "]")])
def test_parse_json_counts_brackets_but_not_those_in_strings(begin: str, end: str, text: str) -> None:
    """A hundred levels are parsed and one more is not, whichever brackets they have and whatever stands in strings."""
    times = 100 // len(end)
    deep = begin * times + text + end * times
    assert parse_json(deep.encode()) == json.loads(deep)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(f"[{deep}]".encode())


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b"1e999", b"[" * 101 + b"]" * 101, b"9" * 5000, b"\xff"])
def test_parse_json_refuses(body: bytes) -> None:
    """NaN, deep, huge and undecodable JSON is a ValueError, whatever Python makes of it."""
    with pytest.raises(ValueError, match=r".+"):
        parse_json(body)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after": "Tue, 24 Nov 2026 00:00:07 GMT", "date": "Tue, 24 Nov 2026 00:00:00 GMT"}, 7.0),
        ({"retry-after": "Tue, 24 Nov 2026 00:00:00 GMT", "date": "Tue, 24 Nov 2026 00:00:07 GMT"}, 0.0),
        ({"retry-after": "Tue, 24 Nov 2026 00:00:07 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_f36_f46_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """F36, F46: both forms of Retry-After are read, and a date only against the answer's own date, not our clock."""
    assert retry_after(headers) == seconds


def test_nothing_listens() -> None:
    """A refused connection certainly sent nothing; the error says where, and names no token."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    async def call() -> None:
        pace = Pace(clock=lambda: CLOCK[0], sleep=no_sleep)
        async with Client(f"http://127.0.0.1:{port}/client/v4", ACCOUNT, Token(TOKEN), pace=pace) as one:
            await one.upload_script("w", FORM)

    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        asyncio.run(call())
    assert not caught.value.sent
    assert isinstance(caught.value, TargetError)
    assert caught.value.__context__ is None


def test_verify_asks_the_account_for_its_own_tokens() -> None:
    """A token that belongs to an account is verified there, after the user endpoint did not know it."""

    def handler(request: httpx.Request) -> httpx.Response:
        if "/user/" in request.url.path:
            return no(401, {"code": 1000, "message": "Invalid API Token"})
        return yes({"id": "token-id", "status": "active"})

    assert ask(handler, lambda one: one.verify_token())["status"] == "active"


def test_no_subdomain_yet() -> None:
    """An account without a workers.dev name has none; any other refusal is an error."""
    assert ask(lambda _: no(404, {"code": 10007, "message": "none"}), lambda one: one.account_subdomain()) is None
    with pytest.raises(ApiError):
        ask(lambda _: no(403, {"code": 10000, "message": "no"}), lambda one: one.account_subdomain())


def test_an_upload_sends_the_headers_of_its_form() -> None:
    """A form that needs a header (a `workflow` entry does) gets it; the token is sent beside it as ever."""
    seen: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return yes({})

    dated = {"Cloudflare-Workers-Script-Api-Date": "2026-11-09"}
    form = UploadForm(metadata=Sealed("{}"), parts=(), secrets=(), digest="", headers=dated)
    ask(handler, lambda one: one.upload_script("w", form))
    ask(handler, lambda one: one.upload_script("w", FORM))
    name = "cloudflare-workers-script-api-date"
    assert [headers.get(name) for headers in seen] == ["2026-11-09", None]
    assert all(TOKEN in headers["authorization"] for headers in seen)


def test_who_refers_to_a_script_is_asked_of_the_script() -> None:
    """The answer's namespace ids and scripts are read; what has another shape is left out."""
    from notebook_do.cloudflare.settings import decode_binders

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/workers/scripts/w/references")
        bound = {"service": "x", "durable_object_namespace_id": "1" * 32}
        return yes({"durable_objects": [bound, bound, {"service": None}, 5], "services": {}})

    found = decode_binders(ask(handler, lambda one: one.script_references("w")))
    assert found.pairs == (("1" * 32, "x"),)
    assert decode_binders({}).pairs == ()
