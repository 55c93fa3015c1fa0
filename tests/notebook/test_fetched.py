"""`%durable fetch` shows an answer by its kind, the exception first, and what exactly this request logged."""

from __future__ import annotations

import base64
import re
import zlib
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.bridge import bridge
from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

WORKER = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  list() {
    console.log("2 rows");
    console.warn("slow query: 26 ms");
  }
  add(text) {
    if (text.body.length > 100) throw new Error("too long");
  }
  fetch(request) { return this.add(request.headers); }
}
const moved = { location: "/new", "set-cookie": "sid=planted" };
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const typed = (body, type) => new Response(body, { headers: { "content-type": type } });
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const room = env.ROOMS.getByName("kitchen");
    switch (pathname) {
      case "/kitchen": console.log("room kitchen"); await room.list(); return Response.json([{ author: "ada" }]);
      case "/add": console.log("room kitchen, author x"); return room.fetch("http://room/");
      case "/html": return typed("<h1>Hello</h1>\\n<script>alert(1)</script>", "text/html");
      case "/png": return typed(bytes(searchParams.get("image")), "image/png");
      case "/dump": return typed(new Uint8Array(1204224).fill(83), "application/octet-stream");
      case "/small": return typed(bytes("AAEC"), "application/octet-stream");
      case "/long": return typed(Array.from({ length: 250 }, (_, n) => `line ${n}`).join("\\n"), "text/plain");
      case "/old": return new Response(null, { status: 302, headers: moved });
      case "/many": for (let n = 0; n < 300; n += 1) console.log("n", n); return new Response("many");
      case "/odd": console.log("\\u001b[31mred\\u202e"); return new Response("\\u001b[31mred");
      case "/none": console.log("none"); return new Response("none", { status: 404 });
      case "/slow": console.log("begins the long job"); await scheduler.wait(60000);
    }
    return new Response("quiet");
  },
};
"""
ERROR = "TypeError: Cannot read properties of undefined (reading 'length')"


def png(width: int, height: int) -> bytes:
    """Give a black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    rows = zlib.compress(b"".join(b"\x00" + bytes(width) for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def chat(cloud: Path, ip: InteractiveShell, patient: None) -> InteractiveShell:
    """Declare and deploy the Worker from cells."""
    del cloud
    for cell in (
        "%durable session chat",
        "%durable namespace rooms --class Room",
        f"%%durable worker chat --bind ROOMS=rooms\n{WORKER}",
        "import notebook_do as nd; s = nd.session('chat'); s.deploy(s.plan())",
    ):
        ip.run_cell(cell).raise_error()
    return ip


def shown(ip: InteractiveShell, line: str) -> tuple[str, str]:
    """Give text and HTML of a cell's result, the duration as N ms and the port as 0."""
    result = ip.run_cell(line)
    result.raise_error()
    bundle: dict[str, Any] = result.result._repr_mimebundle_()
    text = re.sub(r"  \d+ ms|  \d\.\d s", "  N ms", re.sub(r"localhost:\d+", "localhost:0", bundle["text/plain"]))
    return re.sub(r"\+\d+ ms", "+N ms", text), bundle["text/html"]


def test_json_is_indented_with_the_lines_of_this_request(chat: InteractiveShell) -> None:
    """The request, its status, time, type and size stand first; then the body, the log lines, the headers folded."""
    text, html = shown(chat, "%durable fetch chat /kitchen")
    body, lines = text.split("\n\n3 log lines of this request\n")
    assert body.split("\n\n") == [
        "GET http://chat-dev.localhost:0/kitchen  200 OK  N ms  application/json  18 bytes",
        '  [\n    {\n      "author": "ada"\n    }\n  ]',
    ]
    assert [re.split(r"  +", line.strip()) for line in lines.split("\n")[2:5]] == [
        ["+N ms", "log", "chat GET", "room kitchen"],
        ["+N ms", "log", "Room.list (kitchen)", "2 rows"],
        ["~", "+N ms", "warn", "Room.list (kitchen)", "slow query: 26 ms"],
    ]
    assert lines.endswith("1 response header\n    content-type  application/json")
    assert '<b style="background-color:rgba(45,164,78,.22)' in html
    assert "<details" in html


def test_an_exception_comes_first_with_the_line_of_the_cell(chat: InteractiveShell) -> None:
    """The object's exception stands first, with its line in the cell and the lines around it; stack and body folded."""
    text, html = shown(chat, "%durable fetch chat /add")
    first, excerpt, stack, lines, body = text.split("\n\n")[1:6]
    assert " ".join(first.split()) == f"! {ERROR} in Room.add (kitchen), line 9 of In[0]"
    assert ">   9 |     if (text.body.length > 100)" in excerpt
    assert stack.split("\n") == [
        "Stack (2 frames)",
        "    at Room.add (index.js:8:19)  → In[0], line 9",
        "    at Room.fetch (index.js:10:32)  → In[0], line 11",
    ]
    assert lines.startswith("2 log lines of this request")
    assert "Room.add (kitchen)" in lines
    assert body == "Body (21 bytes)\n  Internal Server Error"
    assert html.index("Cannot read") < html.index("Stack (2 frames)") < html.index("log lines") < html.index("Body (")


def test_html_is_shown_as_its_source(chat: InteractiveShell) -> None:
    """A page is text and is never run; a request without lines says so."""
    text, html = shown(chat, "%durable fetch chat /html")
    assert "  <h1>Hello</h1>\n  <script>alert(1)</script>" in text
    assert "This request logged nothing." in text
    assert "&lt;script&gt;" in html
    assert "<script" not in html


def test_a_picture_is_shown_from_its_own_bytes(chat: InteractiveShell) -> None:
    """A picture is drawn 320 pixels high at most, from the answer's bytes; text says its type, pixels and size."""
    image = base64.b64encode(png(120, 60)).decode()
    text, html = shown(chat, f"%durable fetch chat '/png?image={image.replace('+', '%2B')}'")
    words = f"(image/png, 120 \N{MULTIPLICATION SIGN} 60 pixels, {len(png(120, 60))} bytes)"
    assert words in text
    assert f'<img src="data:image/png;base64,{image}"' in html
    assert "max-height:320px" in html


def test_bytes_are_a_hexdump_of_the_first_ones(chat: InteractiveShell) -> None:
    """Of other bytes 32 are shown, and how many there are."""
    text, _ = shown(chat, "%durable fetch chat /dump")
    assert "The first 32 of 1,204,224 bytes; .content has all:\n  00000000  53 53" in text
    assert "|SSSSSSSSSSSSSSSS|" in text
    text, _ = shown(chat, "%durable fetch chat /small")
    assert re.search(r"3 bytes:\s+00000000  00 01 02 +\|\.\.\.\|", text)


def test_a_long_text_is_folded_after_200_lines(chat: InteractiveShell) -> None:
    """The first 200 lines stand open, the rest is folded."""
    text, html = shown(chat, "%durable fetch chat /long")
    assert "50 more lines\n" in text
    assert html.index("line 199") < html.index("50 more lines") < html.index("line 200")


def test_a_redirect_shows_where_to_and_hides_cookies(chat: InteractiveShell) -> None:
    """`location` stands open, the value of `set-cookie` nowhere."""
    text, html = shown(chat, "%durable fetch chat /old")
    assert "302 Found  N ms  no body" in text
    assert "location  /new" in text
    assert "set-cookie  hidden" in text
    assert "planted" not in text + html


def test_of_many_lines_the_first_are_drawn_and_counted(chat: InteractiveShell) -> None:
    """Of 300 lines 200 are drawn, and the caption says so; `.logs` has all."""
    text, _ = shown(chat, "%durable fetch chat /many")
    assert "The first 200 of 300 log lines of this request" in text
    chat.run_cell("x = %durable fetch chat /many").raise_error()
    assert len(chat.user_ns["x"].logs.records) == 300


def test_what_a_terminal_would_obey_is_escaped(chat: InteractiveShell) -> None:
    """Control and bidirectional characters of body and lines are written out in both forms."""
    text, html = shown(chat, "%durable fetch chat /odd")
    assert text.count("\\x1b[31mred") == 2
    assert not {"\x1b", "\u202e"} & set(text + html)


def test_a_worker_that_is_not_live_has_no_lines_that_come_later(
    chat: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its 404 is nobody's answer: what is to be done is said, and no line is promised; its own 404 has its lines."""
    own, _ = shown(chat, "%durable fetch chat /none")
    assert "404 Not Found" in own
    assert "1 log line of this request" in own
    session = chat.user_ns["s"]

    async def gone() -> None:
        async with (await session._connect()).client() as client:
            await client.delete_script("chat-dev", force=True)

    bridge.run(gone())
    monkeypatch.setitem(nd.Session.request_logs.__kwdefaults__, "wait", 0.1)  # nothing will come
    text, _ = shown(chat, "%durable fetch chat /none")
    assert "404 Not Found" in text
    assert "Worker chat is not live any more, so it logged nothing. To deploy it again: %durable deploy" in text
    assert "come later" not in text


def test_no_answer_shows_what_was_logged_until_then(chat: InteractiveShell) -> None:
    """The error of a request without an answer has its lines so far below it, and how to wait longer."""
    shown(chat, "%durable fetch chat /none")  # the first request that is followed starts the Worker anew
    result = chat.run_cell("%durable fetch chat /slow --timeout 4")
    assert isinstance(result.error_in_exec, TargetError)
    lines = result.error_in_exec._render_traceback_()
    assert "has not answered in 4 s" in lines[0]
    below = "\n".join(lines[1:])
    assert "The Worker may still be working." in below
    assert "1 log line of this request so far" in below
    assert "begins the long job" in below
    assert "Longer: --timeout 16. What it logs meanwhile: %durable logs chat --follow" in below
