"""One plan run to its end: what is sent, what is recorded, and what is refused with nothing sent."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, client_of, first_deploy, plan_of, uploading

from notebook_do.credentials.vault import key_path
from notebook_do.deploy.run import deploy
from notebook_do.errors import ConsentRequired, CredentialError, DeployError, PlanRefused, SourceError, StalePlan
from notebook_do.model import ClassBinding, NamespaceId, PlainText, Recorded, Secret, StableId, ValueBinding
from notebook_do.model.steps import DeleteScript, Forget, SetSchedules, SetUrl
from notebook_do.plan.plan import Consent, Refusal
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.deploy.result import DeployResult, Event


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    """Give a state file of the test's own."""
    return StateFile(tmp_path / "dev" / "state.json")


def run(account: Account, state: StateFile, steps: Any, **options: Any) -> DeployResult:
    """Plan `steps` and deploy them at once, with a client of their own."""

    async def both() -> DeployResult:
        async with client_of(account) as client:
            plan = await plan_of(client, state, steps, options.pop("consents", ()))
        async with client_of(account) as client:
            return await deploy(plan, client=client, state=state, **options)

    return asyncio.run(both())


def mutations(account: Account) -> list[tuple[str, str]]:
    """Give the requests that change something."""
    return [(m, p.rsplit("/workers/", 1)[1]) for m, p in account.log if m != "GET"]


def test_first_deploy_in_four_requests(state: StateFile) -> None:
    """A first deploy of one Worker takes 4 requests, and records etag, tag, namespace id, account and API."""
    account = Account()
    result = run(account, state, first_deploy)
    assert result.ok
    assert result.requests == 4
    (id_,) = account.namespaces
    assert result.namespaces == {"counter": id_}
    assert result.workers == {"w": "w"}
    recorded = state.load()
    assert recorded.serial == 2
    assert (recorded.account_id, recorded.api_origin) == ("a" * 32, "https://api.cloudflare.com")
    (worker,) = recorded.workers
    assert worker.etag == account.scripts["w"]["etag"]
    assert worker.settings_digest == "all"
    assert account.scripts["w"]["enabled"] is True


def test_update_in_three_requests(state: StateFile) -> None:
    """A code update takes 3 requests and keeps the namespace."""
    account = Account()
    run(account, state, first_deploy)
    before = dict(account.namespaces)
    result = run(account, state, lambda r, o: (uploading(recorded=r, observed=o, source=b"export class Counter{}//2"),))
    assert result.requests == 3
    assert account.namespaces == before


def test_f01_rename_keeps_the_id(state: StateFile) -> None:
    """F01: a rename sends one renamed class, and the same namespace id is recorded under the new class."""
    account = Account()
    run(account, state, first_deploy)
    (id_,) = account.namespaces
    result = run(
        account, state, lambda r, o: (uploading(recorded=r, observed=o, class_name="MyCounter", rename_from="Counter"),)
    )
    assert result.namespaces == {"counter": id_}
    assert account.namespaces[id_]["class"] == "MyCounter"
    assert account.migrations_applied[-1]["steps"] == [{"renamed_classes": [{"from": "Counter", "to": "MyCounter"}]}]


def test_an_empty_plan_sends_nothing(state: StateFile) -> None:
    """Unchanged declarations: not one request, no lock, no file."""
    account = Account()
    result = run(account, state, lambda _r, _o: ())
    assert result.ok
    assert result.requests == 0
    assert not state.path.parent.exists()


def test_refusals_forbid(state: StateFile) -> None:
    """A plan with a refusal is not sent."""
    account = Account()

    async def both() -> None:
        async with client_of(account) as client:
            plan = await plan_of(client, state, first_deploy)
            plan = replace(plan, refusals=(Refusal(code="x", subject="y", message="two hosts"),))
            await deploy(plan, client=client, state=state)

    with pytest.raises(PlanRefused, match="two hosts"):
        asyncio.run(both())
    assert mutations(account) == []


CONSENTS = tuple(
    Consent(
        phrase=f"destroy {id_} {number * 8}",
        stable_id=StableId(id_),
        namespace_id=NamespaceId(number * 32),
        class_name="C",
        worker="w",
    )
    for id_, number in (("a", "1"), ("b", "2"))
)


@pytest.mark.parametrize("typed", [(), (CONSENTS[0].phrase,), (CONSENTS[0].phrase, CONSENTS[1].phrase + " ")])
def test_f04_every_phrase_exactly(state: StateFile, typed: tuple[str, ...]) -> None:
    """F04: one missing or inexact phrase refuses the whole plan with nothing sent; the missing ones are named."""
    account = Account()
    run(account, state, first_deploy)
    account.log.clear()
    with pytest.raises(ConsentRequired, match="destroy b 22222222"):
        run(
            account,
            state,
            lambda _r, _o: (DeleteScript(worker="w", script_name="w"),),
            consents=CONSENTS,
            confirm=typed,
        )
    assert mutations(account) == []


def test_f17_delete_leaves_a_tombstone(state: StateFile) -> None:
    """F17, F65: a consented deletion is never forced, forgets the Worker and keeps a tombstone of each namespace."""
    account = Account()
    run(account, state, first_deploy)
    (id_,) = account.namespaces
    delete = DeleteScript(
        worker="w", script_name="w", namespace_ids=(NamespaceId(id_),), forgotten=(StableId("counter"),)
    )
    result = run(account, state, lambda _r, _o: (delete,), consents=CONSENTS, confirm=[c.phrase for c in CONSENTS])
    assert result.ok
    assert mutations(account)[-1] == ("DELETE", "scripts/w")
    recorded = state.load()
    assert (recorded.workers, recorded.namespaces) == ((), ())
    assert [t.namespace_id for t in recorded.tombstones] == [id_]


def test_a_script_that_an_earlier_step_deleted_is_expected_to_be_gone(state: StateFile) -> None:
    """A later step that makes it anew is sent: that it is gone is our own doing, and no change of somebody else."""
    account = Account()
    run(account, state, first_deploy)
    (id_,) = account.namespaces
    delete = DeleteScript(
        worker="w", script_name="w", namespace_ids=(NamespaceId(id_),), forgotten=(StableId("counter"),)
    )
    anew = uploading("w", stable_id="other", class_name="Other", source=b"export class Other {}", attempt="2")
    result = run(account, state, lambda _r, _o: (delete, anew), consents=CONSENTS, confirm=[c.phrase for c in CONSENTS])
    assert result.ok
    assert [n.stable_id for n in state.load().namespaces] == ["other"]
    assert id_ not in account.namespaces


def test_forget_sends_nothing(state: StateFile) -> None:
    """Forgetting what is no longer live changes the state file only, with a tombstone."""
    account = Account()
    run(account, state, first_deploy)
    account.log.clear()
    result = run(account, state, lambda _r, _o: (Forget(stable_ids=(StableId("counter"),), workers=("w",)),))
    assert result.ok
    assert mutations(account) == []
    assert len(state.load().tombstones) == 1


def change_state(account: Account, state: StateFile) -> None:
    """Save the state once more."""
    with state.lock():
        state.save(state.load())


def change_code(account: Account, state: StateFile) -> None:
    """Upload other code behind the planner's back."""
    account.scripts["w"]["etag"] = "other"


def change_tag(account: Account, state: StateFile) -> None:
    """Deploy a migration elsewhere."""
    account.scripts["w"]["migration_tag"] = "theirs"


def change_later(account: Account, state: StateFile) -> None:
    """Upload other code at a known time."""
    account.scripts["w"] |= {"etag": "other", "modified_on": "2026-11-27T10:11:12.345678Z"}


def drop_script(account: Account, state: StateFile) -> None:
    """Delete the Worker in the dashboard."""
    account._delete("w")


def rename_live(account: Account, state: StateFile) -> None:
    """Rename the class elsewhere."""
    for namespace in account.namespaces.values():
        namespace["class"] = "Elsewhere"


def add_namespace(account: Account, state: StateFile) -> None:
    """Create another namespace on the script elsewhere."""
    account.namespaces["f" * 32] = {"script": "w", "class": "New", "use_sqlite": True}


def restore_backup(account: Account, state: StateFile) -> None:
    """Put an old state back."""
    state.restore(1)


def other_lineage(account: Account, state: StateFile) -> None:
    """Replace the state file by another project's."""
    recorded = replace(state.load(), lineage="another", serial=state.load().serial - 1)
    state.path.unlink()
    for backup in state.backups():
        backup.path.unlink()
    with state.lock():
        state.save(recorded)


def update(recorded: Recorded, observed: Any) -> Any:
    """Upload other code."""
    return (uploading(recorded=recorded, observed=observed, source=b"export class Counter{}//2"),)


def delete(_recorded: Recorded, _observed: Any) -> Any:
    """Delete the Worker."""
    return (DeleteScript(worker="w", script_name="w"),)


@pytest.mark.parametrize(
    ("change", "words", "steps"),
    [
        (change_state, "serial 2 to 3", update),
        (change_code, "Worker w changed", update),
        (change_tag, r"Worker w changed outside\. Nothing was sent", update),
        (change_later, r"Worker w changed outside, 2026-11-27 10:11:12 UTC\. Nothing was sent", update),
        (drop_script, "Worker w is gone", update),
        (rename_live, "Elsewhere", delete),
        (add_namespace, "namespace ffff…ffffffff is new", delete),
        (restore_backup, "serial", update),
        (other_lineage, "lineage", update),
    ],
)
def test_f43_a_stale_plan_is_refused(state: StateFile, change: Any, words: str, steps: Any) -> None:
    """F43: whatever of state or live facts changed since the plan, it is refused, named, and nothing is sent."""
    account = Account()
    run(account, state, first_deploy)

    async def both() -> None:
        async with client_of(account) as client:
            plan = await plan_of(client, state, steps)
            change(account, state)
            account.log.clear()
            await deploy(plan, client=client, state=state)

    with pytest.raises(StalePlan, match=words):
        asyncio.run(both())
    assert mutations(account) == []
    assert len(account.log) <= 2
    with state.lock():
        pass


def test_f60_another_account_is_refused(state: StateFile) -> None:
    """F60: a state file of one API is not used with another."""
    account = Account()
    run(account, state, first_deploy)

    async def elsewhere() -> None:
        async with client_of(account) as client:
            plan = await plan_of(client, state, lambda r, o: (uploading(recorded=r, observed=o),))
            client.origin = "local:other"
            await deploy(plan, client=client, state=state)

    with pytest.raises(
        Exception, match=r"was deployed to account aaaa…aaaa at .*, and this session is on the local Cloudflare"
    ):
        asyncio.run(elsewhere())


@pytest.mark.parametrize("before", [(), (Forget(workers=("gone",)),)])
def test_secrets_are_read_before_anything_is_sent(
    state: StateFile, monkeypatch: pytest.MonkeyPatch, before: tuple[Forget, ...]
) -> None:
    """A secret that is not set stops the deploy before its first request, and names variable and cell line.

    It does so whatever step comes before the one that sets it.
    """
    monkeypatch.delenv("NOT_SET", raising=False)
    account = Account()
    secret = ValueBinding(name="KEY", value=Secret(source="env", key="NOT_SET"))

    async def both() -> None:
        async with client_of(account) as client:
            plan = await plan_of(
                client, state, lambda r, o: (*before, uploading(recorded=r, observed=o, bindings=(secret,)))
            )
            account.log.clear()
            await deploy(plan, client=client, state=state)

    with pytest.raises(CredentialError, match=r"line 1.*NOT_SET"):
        asyncio.run(both())
    assert account.log == []


def test_f22_a_fault_of_the_script_names_the_cells_line(state: StateFile) -> None:
    """F22: a refused script is a SourceError on the cell's line, with the runtime's text and position in one line."""
    account = Account()
    with pytest.raises(SourceError) as caught:
        run(account, state, lambda r, o: (uploading(recorded=r, observed=o, source=b"x\nsyntax error"),))
    assert caught.value.line == 4
    assert "Uncaught SyntaxError: oops at index.js:2:7" in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.result.outcomes[0].status == "not done"
    assert state.load().serial == 0


def five(broken: int | None, recorded: Recorded, observed: Any, *, chained: bool, number: int = 5) -> Any:
    """Write the uploads of five Workers, those that are not live yet; `chained` binds each to the one before."""
    live = {s.name for s in observed.scripts}
    return tuple(
        uploading(
            f"w{i}",
            stable_id=f"c{i}",
            recorded=recorded,
            observed=observed,
            source=b"syntax error" if i == broken else b"export class Counter {}",
            bindings=(ClassBinding(name="B", class_name="Counter", script_name=f"w{i - 1}"),) if chained and i else (),
        )
        for i in range(number)
        if f"w{i}" not in live
    )


@pytest.mark.parametrize("k", range(5))
def test_f38_partial_success(state: StateFile, k: int) -> None:
    """F38: when the k-th of five Workers fails, those before are recorded, those after not sent; a rerun ends it."""
    account = Account()
    with pytest.raises(SourceError) as caught:
        run(account, state, lambda r, o: five(k, r, o, chained=True))
    statuses = [o.status for o in caught.value.result.outcomes]
    assert statuses == ["done"] * k + ["not done"] * (5 - k)
    assert {w.id for w in state.load().workers} == set(account.scripts) == {f"w{i}" for i in range(k)}
    sent = len(mutations(account))
    assert run(account, state, lambda r, o: five(None, r, o, chained=True)).ok
    assert len(mutations(account)) - sent == 5 - k
    assert len(state.load().namespaces) == len(account.namespaces) == 5


@pytest.mark.parametrize("k", range(5))
def test_f38_independent_workers_are_sent_together(state: StateFile, k: int) -> None:
    """F38: of independent Workers some are sent at once; what is told as done is what is live and recorded."""
    account = Account()
    with pytest.raises(SourceError) as caught:
        run(account, state, lambda r, o: five(k, r, o, chained=False))
    outcomes = caught.value.result.outcomes
    done = {f"w{i}" for i, o in enumerate(outcomes) if o.status == "done"}
    assert done == set(account.scripts) == {w.id for w in state.load().workers}
    assert outcomes[k].status == "not done"
    assert run(account, state, lambda r, o: five(None, r, o, chained=False)).ok
    assert len(state.load().namespaces) == len(account.namespaces) == len(account.migrations_applied) == 5


def test_at_most_eight_at_once(state: StateFile) -> None:
    """Independent uploads overlap, eight at most; a client's waits for its host's."""
    account = Account()
    under_way, most, expected = 0, 0, 8

    async def slow(request: Any, deliver: Any) -> Any:
        nonlocal under_way, most
        if request.method == "PUT":
            under_way += 1
            most = max(most, under_way)
            for _ in range(500):
                if most >= expected:  # the first ones wait for as many as may come, and a ninth has time to
                    break
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            under_way -= 1
            return deliver()
        return None

    async def both(*, chained: bool) -> None:
        async with client_of(account, slow) as client:
            plan = await plan_of(client, state, lambda r, o: five(None, r, o, chained=chained, number=12))
            assert (await deploy(plan, client=client, state=state)).ok

    asyncio.run(both(chained=False))
    assert most == 8
    account.scripts.clear()
    account.namespaces.clear()
    state.path.unlink()
    most, expected = 0, 1
    asyncio.run(both(chained=True))
    assert most == 1


def test_f39_a_later_setting_fails_alone(state: StateFile) -> None:
    """F39: when the address cannot be opened, the upload stays recorded without the settings that did not happen."""
    account = Account()

    async def no_address(request: Any, _deliver: Any) -> Any:
        import httpx

        if request.method == "POST":
            return httpx.Response(403, json={"success": False, "errors": [{"code": 10063, "message": "no subdomain"}]})
        return None

    async def both() -> None:
        async with client_of(account, no_address) as client:
            await deploy(await plan_of(client, state, first_deploy), client=client, state=state)

    with pytest.raises(DeployError, match=r"open the URL.*Done: create Worker w"):
        asyncio.run(both())
    (worker,) = state.load().workers
    assert worker.settings_digest == "upload"
    again = run(
        account, state, lambda _r, _o: (SetUrl(worker="w", script_name="w", enabled=True, settings_digest="all"),)
    )
    assert again.ok
    assert len(account.migrations_applied) == 1
    assert state.load().workers[0].settings_digest == "all"


def test_cancel_between_steps(state: StateFile) -> None:
    """Cancel stops between steps: the step before is done and recorded, the one after is not sent."""
    account = Account()
    events: list[Event] = []

    def cancelled() -> bool:
        return any(e.kind == "done" for e in events)

    result = run(account, state, first_deploy, emit=events.append, cancel=cancelled)
    assert [o.status for o in result.outcomes] == ["done", "not done"]
    assert not result.ok
    assert [(e.kind, e.index, e.text) for e in events[-2:]] == [
        ("failed", 2, "cancelled"),
        ("finished", 2, "1 done, 1 not done"),
    ]
    assert account.scripts["w"]["enabled"] is False


def test_events_of_a_deploy(state: StateFile) -> None:
    """Each step begins and ends with an event that counts from 1; one `finished` is last."""
    events: list[Event] = []
    run(Account(), state, first_deploy, emit=events.append)
    assert [(e.kind, e.index, e.total) for e in events] == [
        ("step", 1, 2),
        ("done", 1, 2),
        ("step", 2, 2),
        ("done", 2, 2),
        ("finished", 2, 2),
    ]
    assert events[-1].text == "2 done"


def test_a_failure_is_told_when_it_happens(state: StateFile) -> None:
    """The event of a failed step says which one and why; the error that is raised says the same."""
    events: list[Event] = []
    with pytest.raises(SourceError) as caught:
        run(Account(), state, lambda r, o: five(1, r, o, chained=True), emit=events.append)
    failed = [e for e in events if e.kind == "failed"]
    assert [(e.index, e.total) for e in failed] == [(2, 5)]
    assert failed[0].text == caught.value.result.outcomes[1].detail != ""


def test_a_key_is_made_for_secrets_alone(state: StateFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before the first request of a plan that sets a secret: afterwards it could not be marked. No other makes one."""
    monkeypatch.setenv("NOTEBOOK_DO_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("ONE", "canary-one")
    account = Account()
    assert run(account, state, first_deploy).ok
    assert not key_path(state.load().lineage).exists()
    there: list[bool] = []

    def see(event: Event) -> None:
        there.append(key_path(state.load().lineage).exists())

    secret = ValueBinding(name="KEY", value=Secret(source="env", key="ONE"))
    again = run(account, state, lambda r, o: (uploading(recorded=r, observed=o, bindings=(secret,)),), emit=see)
    assert again.ok
    assert there
    assert all(there)


def test_schedules(state: StateFile) -> None:
    """Cron triggers are replaced as a whole."""
    account = Account()
    run(account, state, first_deploy)
    crons = SetSchedules(worker="w", script_name="w", crons=("0 * * * *",), settings_digest="crons")
    assert run(account, state, lambda _r, _o: (crons,)).ok
    assert account.scripts["w"]["crons"] == [{"cron": "0 * * * *"}]


def test_f40_a_hundred_presses_deploy_once(state: StateFile) -> None:
    """F40: of a hundred simultaneous deploys of one plan exactly one is applied; the others are refused."""
    account = Account()

    async def press() -> list[Any]:
        async with client_of(account) as client:
            plan = await plan_of(client, state, first_deploy)

        async def once() -> Any:
            async with client_of(account) as own:
                return await deploy(plan, client=own, state=state)

        return await asyncio.gather(*(once() for _ in range(100)), return_exceptions=True)

    results = asyncio.run(press())
    assert sum(not isinstance(r, Exception) and r.ok for r in results) == 1
    assert len(account.migrations_applied) == 1


def test_the_state_file_holds_no_secret_and_no_code(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """S06: neither the state file nor the journal holds a secret's value, its plain hash, or a line of code."""
    import hashlib

    monkeypatch.setenv("A_SECRET", "hunter2-hunter2")
    secret = ValueBinding(name="KEY", value=Secret(source="env", key="A_SECRET"))
    plain = ValueBinding(name="P", value=PlainText(text="plain"))
    account = Account()
    run(account, state, lambda r, o: (uploading(recorded=r, observed=o, bindings=(secret, plain)),))
    assert json.dumps(account.scripts["w"]["bindings"]).count("hunter2-hunter2") == 1
    written = state.path.read_text() + state.journal_path.read_text()
    for bad in ("hunter2", hashlib.sha256(b"hunter2-hunter2").hexdigest(), "export class"):
        assert bad not in written
