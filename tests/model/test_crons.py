"""Cron expressions: the declaration and the local Cloudflare, each by rules of its own, take what Cloudflare takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import notebook_do as nd
from notebook_do.local.rules.crons import is_cron
from notebook_do.model.triggers import cron_problem

TAKEN = [
    *("* * * * *", "*/30 * * * *", "45 * * * *", "0 17 * * sun", "0 17 * * 1", "10 7 * * mon-fri", "10 7 * * 2-6"),
    *("0 15 1 * *", "0 18 * * 6L", "0 18 * * friL", "59 23 LW * *", "0 0 * JAN-JUN FRI", "0 0 LW JUL-DEC *"),
    *("0 0 L * *", "0 0 L-3 * *", "0 0 L-3W * *", "0 0 15W * *", "0 0 * * L", "0 0 * * 6#3", "0 0 * * MON#2"),
    *("50-10 22-2 31-1 DEC-FEB FRI-MON", "0,5-10,10-30/3,30/3 * * * *", "*/5,*/3 * * * *", "1/3,*/5 * * * *"),
    *("00 007 * * *", "0\t0  * * *", "59/59 23/23 31/30 12/11 7/6", "5,* * * * *"),
]
"""The examples of Cloudflare's page "Cron Triggers" and of the tests of its parser."""
REFUSED = [
    *("60 * * * *", "0-60 * * * *", "0/60 * * * *", "0/0 * * * *", "*/60 * * * *", "* 24 * * *", "* */24 * * *"),
    *("* * 0 * *", "* * 32 * *", "* * */31 * *", "* * * 0 *", "* * * 13 *", "* * * */12 *", "* * * * 0", "* * * * 8"),
    *("* * * * */7", "* * * * 0-6", "* * * * 6#0", "* * * * 6#6", "* * * * 0L", "* * * * 1,L", "* * 1,L * *"),
    *("* * L-0 * *", "* * L-31 * *", "* * 32W * *", "* * W * *", "* * l * *", "* * * FOO *", "* * * * MONDAY"),
    *("*,* * * * *", "*-30 * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "1, * * * *", ",1 * * * *", "? * * * *"),
    *(
        "* * ? * *",
        "* * * *",
        "* * * * * *",
        "",
        " * * * * *",
        "* * * * * ",
        "* * * *\n*",
        "-1 * * * *",
        "\u0661 * * * *",
    ),
    *("JAN * * * *", "* MON * * *", "1.5 * * * *", "@daily", "* * * * ALL", "* * * * L5", "* * 5L * *", "* * 5#1 * *"),
]
PIECES = st.sampled_from(
    [*"0123456789*/,-#LW?", "JAN", "dec", "MON", "sun", "60", "59", "24", "23", "31", "32", "12", "13", "7", "8"]
)
FIELD = st.lists(PIECES, min_size=1, max_size=6).map("".join)


@pytest.mark.parametrize("cron", TAKEN)
def test_what_cloudflare_takes_is_taken(cron: str) -> None:
    """By the declaration and by the local Cloudflare."""
    assert (cron_problem(cron), is_cron(cron)) == (None, True)


@pytest.mark.parametrize("cron", REFUSED)
def test_what_cloudflare_refuses_is_refused(cron: str) -> None:
    """By both, and the declaration says it in one line that ends as a sentence does."""
    problem = cron_problem(cron)
    assert problem is not None
    assert problem.endswith((".", "?"))
    assert "\n" not in problem
    assert not is_cron(cron)


@given(st.sampled_from(range(5)), FIELD)
def test_both_agree_on_every_field(place: int, field: str) -> None:
    """Two implementations that share no rule say the same of one field among good ones."""
    fields = ["*"] * 5
    fields[place] = field
    cron = " ".join(fields)
    assert (cron_problem(cron) is None) == is_cron(cron)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        (
            "0 0 * * 0",
            "week day '0' must be 1 to 7, or SUN to SAT; Sunday is 1 or SUN on Cloudflare: did you mean '0 0",
        ),
        ("0 0 * * 0", "did you mean '0 0 * * SUN'?"),
        ("0 0 * * 0,6", "did you mean '0 0 * * SUN,SAT'?"),
        ("0 0 * * 0-4/2", "did you mean '0 0 * * SUN-THU/2'?"),
        ("0 0 * * 0#2", "did you mean '0 0 * * SUN#2'?"),
        (
            "0 */5 * * * *",
            "must have five fields, such as '*/5 * * * *'; it has no seconds: did you mean '*/5 * * * *'?",
        ),
        ("0 0 ? * MON", "? is not known: did you mean '0 0 * * MON'?"),
        ("0 0 * * MONDAY", "week day 'MONDAY' must be 1 to 7, or SUN to SAT."),
        ("61 0 * * *", "minute '61' must be 0 to 59."),
        ("*/60 0 * * *", "step '60' of minute must be 1 to 59."),
    ],
)
def test_a_likely_mistake_is_named_with_what_may_be_meant(home: object, cron: str, said: str) -> None:
    """Sunday as 0, an expression with seconds, Quartz' question mark: the line says what to write."""
    with pytest.raises(nd.DeclarationError) as caught:
        nd.session("app").declare(nd.Worker("w", script="export default {}", crons=[cron]))
    assert said in str(caught.value)
    assert f"cron {cron!r}" in str(caught.value)
