"""Secrets from the declaration to the running Worker: set, kept, changed, asked for; their values are nowhere."""

from __future__ import annotations

import copy
import json
import pickle
import stat
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.credentials.token import Sealed
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError, DeclarationError, PlanRefused, StalePlan
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

LITERAL = "sk-live-0123456789"
SOURCE = "export default { fetch(request, env) { return new Response(`${env.KEY}${NOTE}`) } }; const NOTE = '';"


def declare(session: Session, *, note: str = "") -> Plan:
    """Declare the Worker that answers with its secret, and plan."""
    nd.Worker("api", script=SOURCE.replace("''", repr(note)), bindings={"KEY": nd.Secret.from_env("MY_KEY")})
    return session.plan()


def said(plan: Plan) -> list[str]:
    """Give what a plan says of secrets."""
    return [c.detail for c in plan.changes if c.kind == "binding"]


def test_s06_a_secret_is_set_kept_and_changed(cloud: Path, monkeypatch: pytest.MonkeyPatch, keys: Path) -> None:
    """S06: a new value is a change, an equal one is none, and one that cannot be had here stays as it is live."""
    session = nd.session("s")
    monkeypatch.setenv("MY_KEY", "first-value")
    plan = declare(session)
    assert said(plan) == ["Secret KEY of api-dev is set."]
    assert session.deploy(plan)["api"].fetch("/").text == "first-value"
    assert session.plan().empty

    monkeypatch.setenv("MY_KEY", "second-value")
    plan = session.plan()
    assert said(plan) == ["Secret KEY of api-dev is changed: its value is not the one that was set last."]
    assert session.deploy(plan)["api"].fetch("/").text == "second-value"

    monkeypatch.delenv("MY_KEY")
    assert session.plan().empty
    plan = declare(session, note="!")
    assert said(plan) == ["Secret KEY of api-dev is kept."]
    assert session.deploy(plan)["api"].fetch("/").text == "second-value!"
    assert session.plan().empty

    files = [p for place in (cloud / ".notebook_do", keys) for p in place.rglob("*") if p.is_file()]
    assert not [p for p in files if b"-value" in p.read_bytes()]
    (key,) = (p for p in keys.iterdir() if session.recorded().lineage in p.name)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700


def test_s06_a_lost_key_sets_the_secret_once_more(cloud: Path, monkeypatch: pytest.MonkeyPatch, keys: Path) -> None:
    """On another machine a mark tells nothing: the secret is set again, which the plan says, and then compares."""
    session = nd.session("s")
    monkeypatch.setenv("MY_KEY", "first-value")
    session.deploy(declare(session))
    (keys / f"{session.recorded().lineage}.key").unlink()
    plan = session.plan()
    assert said(plan) == [
        "Secret KEY of api-dev is set again: the live value was not set from here, and cannot be compared."
    ]
    session.deploy(plan)
    assert session.plan().empty


def test_a_worker_with_a_secret_is_imported(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is named and left out of the cell; the plan is empty; the next upload keeps it."""
    first = nd.session("s")
    monkeypatch.setenv("MY_KEY", "first-value")
    first.deploy(declare(first))
    other = nd.session("other")
    imported = other.import_("api-dev")
    assert imported.notes == ("Worker api-dev: its secrets (KEY) are not readable; every upload keeps them.",)
    assert other.plan().empty
    nd.Worker("api-dev", name="api-dev", script=SOURCE.replace("''", "'!'"))
    plan = other.plan()
    assert said(plan) == ["Secret KEY of api-dev, which is not declared here, is kept."]
    assert other.deploy(plan)["api-dev"].fetch("/").text == "first-value!"


def undeclare(*names: str) -> None:
    """Declare the Worker again without a secret; it answers with the names and values of its bindings."""
    script = "export default { fetch(request, env) { return Response.json({ ...env }) } };"
    nd.Worker("api", script=script, bindings={name: nd.Secret.from_env(name) for name in names})


def put_outside(name: str, text: str) -> None:
    """Set a secret as the dashboard or wrangler does."""
    target = launch.ensure()
    try:
        httpx.put(
            f"{target.api}/accounts/{target.account_id}/workers/scripts/api-dev/secrets",
            json={"name": name, "text": text, "type": "secret_text"},
            headers={"Authorization": f"Bearer {target.token()}"},
        ).raise_for_status()
    finally:
        target.release()


def test_a_secret_that_is_left_out_leaves_the_worker(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that this session set and no longer declares is a deleted binding, and the Worker has it no more.

    It is so although nothing else changes; one that somebody else set stays, and plan and `show bindings` say so.
    """
    session = nd.session("s")
    monkeypatch.setenv("KEY", "ours-value")
    monkeypatch.setenv("OTHER", "other-value")
    undeclare("KEY", "OTHER")
    session.deploy(session.plan())
    put_outside("THEIRS", "their-value")

    undeclare("OTHER")
    plan = session.plan()
    assert [(c.action, c.kind, c.name, c.detail) for c in plan.changes if c.action != "noop"] == [
        (
            "delete",
            "binding",
            "KEY",
            "Secret KEY of api-dev is removed: it was set from here, and is no longer declared.",
        )
    ]
    theirs = "Secret THEIRS of api-dev is live, and was neither set from here nor declared: it is kept."
    assert plan.notes == (theirs,)
    assert "delete" in str(plan)
    assert theirs in str(plan)
    result = session.deploy(plan)
    assert theirs in result.notes
    assert result["api"].fetch("/").json() == {"OTHER": "other-value", "THEIRS": "their-value"}

    plan = session.plan()
    assert plan.empty
    assert theirs in str(plan)
    shown = session.show("bindings")
    assert [(row["binding"], row["action"]) for row in shown.rows] == [("OTHER", "noop"), ("THEIRS", "kept")]  # type: ignore[attr-defined]
    assert "kept: not set from here, not declared" in str(shown)
    undeclare()
    plan = session.plan()
    put_outside("LATE", "late-value")
    with pytest.raises(StalePlan):  # it would not be among the secrets that this upload keeps by name
        session.deploy(plan)
    result = session.deploy(session.plan())
    assert result["api"].fetch("/").json() == {"LATE": "late-value", "THEIRS": "their-value"}


def test_a_secret_of_a_state_file_without_marks_is_kept(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the state file has no mark of a secret, as older ones have none, it counts as somebody else's."""
    session = nd.session("s")
    monkeypatch.setenv("KEY", "ours-value")
    undeclare("KEY")
    session.deploy(session.plan())
    recorded = session.recorded()
    (record,) = recorded.workers
    with session.state.lock():
        session.state.save(replace(recorded, workers=(replace(record, secrets=()),)))

    undeclare()
    plan = session.plan()
    assert [c.name for c in plan.changes if c.action == "delete"] == []
    assert plan.notes == ("Secret KEY of api-dev is live, and was neither set from here nor declared: it is kept.",)
    assert session.deploy(plan)["api"].fetch("/").json() == {"KEY": "ours-value"}


def test_an_import_tells_of_secrets_that_its_cell_would_remove(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell of a Worker that is managed already has no secrets; the import says which of them are ours."""
    session = nd.session("s")
    monkeypatch.setenv("KEY", "ours-value")
    undeclare("KEY")
    session.deploy(session.plan())
    assert session.import_("api-dev").notes == (
        "Worker api-dev is managed by this session already, as it is live: nothing was changed.",
        (
            "Worker api-dev: its secrets (KEY) are not readable and were set from here; declare them in the cell of "
            "that Worker (--secret KEY), or the next plan removes them."
        ),
    )
    assert session.plan().empty


def test_f43_a_value_that_changed_after_the_plan_is_stale(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F43: what is sent is what was looked at; another value needs another plan."""
    session = nd.session("s")
    monkeypatch.setenv("MY_KEY", "first-value")
    plan = declare(session)
    monkeypatch.setenv("MY_KEY", "second-value")
    with pytest.raises(StalePlan, match="the value of secret KEY of api-dev changed") as caught:
        session.deploy(plan)
    assert "-value" not in str(caught.value)


def test_a_secret_without_a_value_is_refused(cloud: Path) -> None:
    """A secret that was never set and has no value is refused by the plan, with where the value was looked for."""
    session = nd.session("s")
    plan = declare(session)
    assert [r.code for r in plan.refusals] == ["secret-missing"]
    assert "environment variable MY_KEY is not set" in plan.refusals[0].message
    with pytest.raises(PlanRefused):
        session.deploy(plan)


class Keyring(types.ModuleType):
    """Stands in for the keyring package, which reaches a desktop's keyring that this machine does not have."""

    def __init__(self, **held: str) -> None:
        super().__init__("keyring")
        self.held = held
        self.errors = types.ModuleType("keyring.errors")
        self.errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
        self.errors.NoKeyringError = type("NoKeyringError", (Exception,), {})  # type: ignore[attr-defined]

    def get_password(self, service: str, name: str) -> str | None:
        """Look a password up."""
        return self.held.get(name) if service == "notebook_do" else None


def test_a_secret_from_the_keyring(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the keyring reaches the Worker; one that is not there is refused with how to add it."""
    keyring = Keyring(MY_KEY="held-value")
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", keyring.errors)
    session = nd.session("s")
    nd.Worker("api", script=SOURCE, bindings={"KEY": nd.Secret.from_keyring("MY_KEY")})
    assert session.deploy(session.plan())["api"].fetch("/").text == "held-value"
    nd.Worker("other", script=SOURCE, bindings={"KEY": nd.Secret.from_keyring("NOT_THERE")})
    (refusal,) = session.plan().refusals
    assert "keyring set notebook_do NOT_THERE" in refusal.message


def test_a_secret_set_to_the_empty_text_is_set(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is there and empty, and an empty entry of the keyring, are values; no variable is none."""
    keyring = Keyring(HELD="")
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", keyring.errors)
    monkeypatch.setenv("MY_KEY", "")
    session = nd.session("s")
    source = "export default { fetch(request, env) { return Response.json(env) } };"
    bindings = {"KEY": nd.Secret.from_env("MY_KEY"), "RING": nd.Secret.from_keyring("HELD")}
    nd.Worker("api", script=source, bindings=bindings)
    plan = session.plan()
    assert said(plan) == ["Secret KEY of api-dev is set.", "Secret RING of api-dev is set."]
    assert session.deploy(plan)["api"].fetch("/").json() == {"KEY": "", "RING": ""}
    assert session.plan().empty
    monkeypatch.setenv("MY_KEY", "now-a-value")
    changed = "Secret KEY of api-dev is changed: its value is not the one that was set last."
    assert said(session.plan()) == [changed, "Secret RING of api-dev is kept."]


def test_a_secret_that_nobody_can_be_asked_for(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no prompt can be answered, a secret of the prompt is refused in one line that names the other ways."""
    monkeypatch.setattr(sys, "stdin", None)
    session = nd.session("s")
    nd.Worker("api", script=SOURCE, bindings={"KEY": nd.Secret.from_prompt("KEY")})
    (refusal,) = session.plan().refusals
    assert refusal.code == "secret-missing"
    assert "nd.Secret.from_env" in refusal.message


@pytest.mark.parametrize(
    ("words", "body", "source"),
    [
        ("worker w --secret KEY", "", "env:KEY"),
        ("worker w --secret KEY=OTHER", "", "env:OTHER"),
        ("worker w --secret KEY=keyring", "", "keyring:KEY"),
        ("worker w --secret KEY=keyring:api.key", "", "keyring:api.key"),
        ("worker w --secret KEY=prompt:the-key", "", "prompt:the-key"),
        ("", '[workers.w]\nscript = "x"\nbindings.KEY = {secret = "OTHER"}', "env:OTHER"),
        ("", '[workers.w]\nscript = "x"\nbindings.KEY = {secret = "a.b", source = "keyring"}', "keyring:a.b"),
    ],
)
def test_three_sources_in_every_form(words: str, body: str, source: str) -> None:
    """Environment, keyring and prompt are declared on a line and in TOML."""
    (worker,) = parse_cell(words, body or "export default {}")
    secret = worker.bindings["KEY"]  # type: ignore[union-attr]
    assert f"{secret.source}:{secret.key}" == source  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: nd.Secret(LITERAL),
        lambda: nd.Secret.from_env(LITERAL),
        lambda: parse_cell(f"worker w --secret KEY={LITERAL}", "export default {}"),
        lambda: parse_cell("", f'[workers.w]\nscript = "x"\nbindings.KEY = {{secret = "{LITERAL}"}}'),
        lambda: parse_cell("", f'[workers.w]\nscript = "x"\nbindings.KEY = {{secret = ["{LITERAL}"]}}'),
    ],
)
def test_s07_a_literal_is_refused_without_being_shown(wrong: Any) -> None:
    """S07: a value that is written down is refused, and the error shows nothing of it."""
    with pytest.raises((DeclarationError, CommandError)) as caught:
        wrong()
    assert LITERAL not in str(caught.value)


def test_s01_what_is_sealed_cannot_be_written_down() -> None:
    """S01: repr, str, format, JSON, copy and pickle of what holds a value are masked or refused."""
    sealed = Sealed("canary-value")
    for shown in (repr(sealed), str(sealed), f"{sealed}", f"{sealed:>20}", repr([sealed])):
        assert "canary" not in shown
    for refused in (json.dumps, copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            refused(sealed)
    assert sealed.open() == "canary-value"
