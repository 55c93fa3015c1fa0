"""A method is called for each row of a DataFrame, on the real local Cloudflare."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.cloudflare.client import Client
from notebook_do.errors import CommandError, Interrupted, TargetError
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from pathlib import Path

COUNTER = """import { DurableObject } from "cloudflare:workers";
let running = 0;
let most = 0;
export class Counter extends DurableObject {
  async add(amount) {
    if (typeof amount !== "number" || Number.isNaN(amount)) throw new RangeError("amount must be a number");
    if (amount < 0) throw new RangeError("amount must be positive");
    const total = ((await this.ctx.storage.get("total")) ?? 0) + amount;
    await this.ctx.storage.put("total", total);
    return total;
  }
  async slow(ms) {
    running += 1;
    most = Math.max(most, running);
    await scheduler.wait(ms);
    running -= 1;
    return most;
  }
  most() { return most; }
  kinds(...values) {
    return values.map((one) => (one === null ? "null" : Number.isNaN(one) ? "NaN" : typeof one));
  }
  list(a, b) { return [a, { b }]; }
  count() { this.n = (this.n ?? 0) + 1; return this.n; }
}
export default { fetch() { return new Response("ok"); } };
"""


@pytest.fixture
def counting(cloud: Path) -> nd.Session:
    """Deploy a counter."""
    del cloud
    session = nd.session("counting")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("counting", script=COUNTER, bindings={"COUNTER": counter})
    session.deploy(session.plan())
    return session


def test_each_row_is_called_and_order_is_kept(counting: nd.Session) -> None:
    """The frame is the given one with result, ms and error; calls of one object come in the order of the rows."""
    df = pd.DataFrame({"user": [f"user-{n % 7}" for n in range(100)], "amount": range(100)}, index=range(1000, 1100))
    found = counting.map("counter", df, object="user", call="add", args=["amount"])
    assert found.columns.tolist() == ["user", "amount", "result", "ms", "error"]
    assert [str(found[c].dtype) for c in ("result", "ms", "error")] == ["object", "Float64", "string"]
    assert found.index.tolist() == df.index.tolist()
    assert found.result.tolist() == df.groupby("user").amount.cumsum().tolist()
    assert found.error.isna().all()
    assert (found.ms >= 0).all()
    assert df.columns.tolist() == ["user", "amount"]
    assert counting.object("counter", "user-3").add(0) == found[found.user == "user-3"].result.iloc[-1]


def test_one_failing_row_fails_alone(counting: nd.Session) -> None:
    """It says why in `error`; a row without a name, or whose argument has no form, is not sent."""
    df = pd.DataFrame(
        {
            "user": ["a", "b", "c", "", None, "d", "e", "f"],
            "amount": [1, -3, np.nan, 1, 1, 2, pd.Timestamp("2026-01-01"), pd.NA],
        }
    )
    found = counting.map("counter", df, object="user", call="add", args=["amount"])
    assert found.result.tolist() == [1, None, None, None, None, 2, None, None]
    assert found.error.fillna("").tolist() == [
        "",
        "RangeError: amount must be positive",
        "RangeError: amount must be a number",
        "the cell of column user is empty; nothing was called",
        "the cell of column user is empty; nothing was called",
        "",
        "amount: 2026-01-01 00:00:00 has no time zone: use .astimezone(), or replace(tzinfo=UTC); nothing was called",
        "RangeError: amount must be a number",
    ]
    assert found.ms.isna().tolist() == [False, False, False, True, True, False, True, False]
    assert set(counting.objects("counter").name) == {"a", "b", "c", "d", "f"}


def test_what_is_missing_is_null_to_the_method(counting: nd.Session) -> None:
    """A missing text is null, a missing number of a column of floats NaN, one of Int64 null; NaN is shown as it is."""
    df = pd.DataFrame(
        {"user": ["a", "b"], "x": ["p", None], "y": [np.nan, 1.0], "z": pd.array([None, 1], dtype="Int64")}
    )
    found = counting.map("counter", df, object="user", call="kinds", args=["x", "y", "z"])
    assert found.result.tolist() == [["string", "NaN", "null"], ["null", "number", "number"]]
    failed = counting.map("counter", df, object="user", call="add", args=["y"])
    assert "y=NaN" in str(failed.view)


def test_the_failures_are_run_again_by_the_line_that_is_shown(counting: nd.Session) -> None:
    """What was added before is replaced, and not refused, where the frame is the result of a map."""
    df = pd.DataFrame({"user": ["a", "b"], "amount": [-1, 2]})
    x = counting.map("counter", df, object="user", call="add", args=["amount"])
    x.loc[x.error.notna(), "amount"] = 5
    again = counting.map("counter", x[x.error.notna()], object="user", call="add", args=["amount"])
    assert again.columns.tolist() == x.columns.tolist()
    assert (again.result.tolist(), again.index.tolist()) == ([5], [0])


def test_results_of_any_kind_stand_in_their_rows(counting: nd.Session) -> None:
    """Lists and dicts are one cell each; a frame without rows gives the columns with their dtypes."""
    df = pd.DataFrame({"user": ["a", "b"], "x": ["p", "q"], "y": [1.5, 2.0]})
    found = counting.map("counter", df, object="user", call="list", args=["x", "y"])
    assert found.result.tolist() == [["p", {"b": 1.5}], ["q", {"b": 2}]]
    empty = counting.map("counter", df[:0], object="user", call="list", args=["x", "y"])
    assert [str(empty[c].dtype) for c in ("result", "ms", "error")] == ["object", "Float64", "string"]


def test_as_many_objects_are_called_at_a_time_as_asked(counting: nd.Session) -> None:
    """`concurrency` holds over more rows than one request has."""
    df = pd.DataFrame({"user": [f"u{n}" for n in range(50)], "ms": 50}).rename(columns={"ms": "wait"})
    found = counting.map("counter", df, object="user", call="slow", args=["wait"], concurrency=3)
    assert found.result.max() == 3


def test_a_time_out_is_unknown_and_not_repeated(counting: nd.Session) -> None:
    """Only the row that had no answer says so, and it was called once."""
    counting.object("counter", "b").slow(0)  # it is awake: of the time-out nothing is left to the disk
    df = pd.DataFrame({"user": ["a", "b"], "wait": [12_000, 0]})
    found = counting.map("counter", df, object="user", call="slow", args=["wait"], timeout=4)
    assert found.error.fillna("").tolist() == [
        "no answer in 4 s: whether it was done is not known, and it was not repeated",
        "",
    ]


def test_an_unknown_method_is_said_once(counting: nd.Session) -> None:
    """Nothing is called, and the methods that there are are listed."""
    df = pd.DataFrame({"user": [f"u{n}" for n in range(100)]})
    with pytest.raises(CommandError, match=r"map: class Counter has no method ad; it has add, .* Did you mean add\?"):
        counting.map("counter", df, object="user", call="ad")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"object": "usr"}, "the frame has no column usr; it has user, amount"),
        ({"args": ["amunt"]}, "the frame has no column amunt"),
        ({"args": "amount"}, r"args is a list of columns: args=\['amount'\]"),
        ({"concurrency": 0}, "concurrency is a whole number from 1 to 40"),
        ({"concurrency": True}, "concurrency is a whole number"),
        ({"timeout": -1}, "timeout: seconds from"),
        ({"call": "_add"}, "no method that can be called"),
        ({"object": "amount"}, r"column amount holds a int \(1\), and names of objects are text: df.assign"),
    ],
)
def test_a_wrong_call_of_map_sends_nothing(
    counting: nd.Session, sent: list[str], given: dict[str, Any], said: str
) -> None:
    """One line says what is wrong, and with what."""
    df = pd.DataFrame({"user": ["a"], "amount": [1]})
    with pytest.raises(CommandError, match=said):
        counting.map("counter", df, **{"object": "user", "call": "add", **given})
    assert not [one for one in sent if "/ask" in one]


def test_columns_of_the_frame_are_not_overwritten(counting: nd.Session) -> None:
    """A column called result that is the user's own is refused; so is a frame with a name twice, and what is none."""
    df = pd.DataFrame({"user": ["a"], "result": [1]})
    with pytest.raises(CommandError, match="the result has a column result of its own; rename that of the frame"):
        counting.map("counter", df, object="user", call="count")
    twice = pd.DataFrame([["a", "b"]], columns=["user", "user"])
    with pytest.raises(CommandError, match="more than one column user"):
        counting.map("counter", twice, object="user", call="count")
    with pytest.raises(CommandError, match="give a DataFrame, not list"):
        counting.map("counter", [1], object="user", call="count")  # type: ignore[arg-type]


def test_an_interrupted_map_keeps_what_it_came_to(counting: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered is kept, what was under way is unknown, the rest was not called."""
    asked, ask = [], Client.ask_objects

    async def noted(self: Client, *given: Any) -> Any:
        asked.append(given)
        if len(asked) == 2:
            main = threading.main_thread().ident  # a real signal: one that is simulated ends no wait
            asyncio.get_running_loop().call_later(0.2, signal.pthread_kill, main, signal.SIGINT)
        return await ask(self, *given)

    monkeypatch.setattr(Client, "ask_objects", noted)
    df = pd.DataFrame({"user": [f"u{n}" for n in range(120)], "wait": [0] * 40 + [500] * 80})
    with pytest.raises(Interrupted, match=r"the map was stopped after \d+ of 120 rows; .* stopped_map of the session"):
        counting.map("counter", df, object="user", call="slow", args=["wait"], concurrency=4)
    kept = counting.stopped_map
    assert kept is not None
    assert kept.error[:40].isna().all()
    under_way = kept.error[40:80].fillna("").str
    assert under_way.startswith("the map was stopped while it was under way: whether it was done").all()
    assert kept.error[80:].tolist() == ["it was not called: the map was stopped before"] * 40


def test_a_map_that_loses_its_target_tells_what_was_done(counting: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of requests that were answered keep their results; those that could not be sent say so."""
    asked, ask = [], Client.ask_objects

    async def broken(self: Client, *given: Any) -> Any:
        asked.append(given)
        if len(asked) == 2:
            raise TargetError("the network is gone.")
        return await ask(self, *given)

    monkeypatch.setattr(Client, "ask_objects", broken)
    df = pd.DataFrame({"user": [f"u{n}" for n in range(100)]})
    found = counting.map("counter", df, object="user", call="count")
    assert found.result[:40].tolist() == [1] * 40
    assert found.error[40:].tolist() == ["it was not called: the network is gone"] * 60


def test_the_view_begins_with_the_failures(counting: nd.Session) -> None:
    """Counts, at most 20 failures, the frame, the line that runs the failures again (view 6g); the same in HTML."""
    rows = {"user": [*(f"user-{n}" for n in range(25)), None], "amount": [*[-1.0] * 22, 5, 7, 2, 1]}
    x = counting.map("counter", pd.DataFrame(rows), object="user", call="add", args=["amount"])
    text = bundle(x.view)["text/plain"].split("\n")
    assert text[0].startswith("~ Called Counter.add for 26 rows in ")
    assert text[0].endswith("(8 at a time): 22 threw, 3 returned, 1 not called.")
    assert text[2] == "23 failures (_[_.error.notna()])"
    assert text[3].split() == ["row", "user", "arguments", "error"]
    assert text[5].split(maxsplit=4) == ["!", "0", "user-0", "amount=-1.0", "RangeError: amount must be positive"]
    assert "... 3 more rows. _[_.error.notna()] has all." in text
    assert "The frame: your columns, then result, ms, error" in text
    assert text[-3:] == [
        "Again for the failures only:",
        "import notebook_do as nd",
        'nd.current().map("counter", _[_.error.notna()], object="user", call="add", args=["amount"])',
    ]
    html = x._repr_mimebundle_()["text/html"]
    assert "<b>23 failures</b>" in html
    assert "background-color:rgba(207,34,46,.22)" in html
    plain = x[x.error.isna()]
    assert not hasattr(type(plain), "view")
    whole = counting.map("counter", pd.DataFrame({"user": ["a"]}), object="user", call="count")
    assert str(whole.view).startswith("+ Called Counter.count for 1 row in ")
    assert "failure" not in str(whole.view)


def test_numbers_of_a_frame_are_shown_as_numbers(counting: nd.Session) -> None:
    """What pandas holds as numpy's scalars stands in the view as JSON writes it, with all of its digits."""
    df = pd.DataFrame({"user": ["a"], "n": [3], "price": [1234567.25], "big": [2**53 + 1]})
    text = bundle(counting.map("counter", df, object="user", call="add", args=["n"]).view)["text/plain"]
    (row,) = [line.split() for line in text.splitlines() if line.split()[:2] == ["0", "a"]]
    assert row[2:5] == ["3", "1234567.25", "9007199254740993"]
