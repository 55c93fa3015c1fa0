"""A Worker's settings on the local target: carried by an import, compared with what is live, never moved silently."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.local.process import launch
from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = "export default { fetch() { return new Response('x'); }, tail() {}, scheduled() {} };"
SETTINGS: dict[str, Any] = {
    "observability": {"enabled": True, "head_sampling_rate": 0.5},
    "limits": {"cpu_ms": 50},
    "placement": {"mode": "smart"},
    "logpush": True,
    "tags": ["team:a"],
    "cache_options": {"enabled": True},
}


@contextlib.contextmanager
def api(script: str) -> Iterator[httpx.Client]:
    """Speak to the API as another tool does, about one script."""
    target = launch.ensure()
    try:
        with httpx.Client(
            base_url=f"{target.api}/accounts/{target.account_id}/workers/scripts/{script}",
            headers={"Authorization": f"Bearer {target.token()}"},
            trust_env=False,
        ) as client:
            yield client
    finally:
        target.release()


def patch(client: httpx.Client, settings: dict[str, Any]) -> None:
    """Change settings without code, as the dashboard does."""
    files = {"settings": (None, json.dumps(settings), "application/json")}
    client.patch("/settings", files=files).raise_for_status()


def deploy(**settings: Any) -> nd.Session:
    """Deploy Worker `api` with `settings` by a session of its own."""
    session = nd.session("app")
    nd.Worker("api", script=PLAIN, **settings)
    session.deploy(session.plan())
    return session


def test_an_import_declares_every_setting(cloud: Path) -> None:
    """Each setting comes back in the cell and in the declaration; the plan is empty, and an upload keeps them all."""
    deploy(**SETTINGS, tail_consumers=["api"], crons=["0 * * * *"], url=False, compatibility_flags=["nodejs_compat"])
    session = nd.session("second")
    imported = session.import_("api-dev")
    assert session.plan().empty
    line, _, body = imported.cells[0].partition("\n")
    (pasted,) = parse_cell(line.removeprefix("%%durable "), body)
    assert [pasted] == list(imported.declarations)
    assert imported.declarations[0].options.value == SETTINGS | {"tail_consumers": [{"service": "api-dev"}]}
    with api("api-dev") as client:
        before = client.get("/settings").json()["result"]
        words = line.removeprefix("%%durable ")
        session.declare(*parse_cell(words, body.replace("'x'", "'y'")))
        session.deploy(session.plan())
        after = client.get("/settings").json()["result"]
    drop = {"tags"}  # an upload says in a tag which operation it was
    assert {k: v for k, v in after.items() if k not in drop} == {k: v for k, v in before.items() if k not in drop}
    assert "team:a" in after["tags"]


def test_workers_that_send_their_tails_to_each_other_are_deployed_at_once(cloud: Path) -> None:
    """A tail consumer that is not there is refused (10203): the first upload leaves it out, the last one has it."""
    session = nd.session("app")
    nd.Worker("one", script=PLAIN, tail_consumers=["two", "one"])
    nd.Worker("two", script=PLAIN, tail_consumers=["one"], bindings={"ONE": nd.Service("one")})
    nd.Worker("three", script=PLAIN, tail_consumers=["zebra"])
    nd.Worker("zebra", script=PLAIN)
    session.deploy(session.plan())
    assert session.plan().empty
    for name, tails in (("one", {"one-dev", "two-dev"}), ("two", {"one-dev"}), ("three", {"zebra-dev"})):
        with api(f"{name}-dev") as client:
            found = client.get("/script-settings").json()["result"]["tail_consumers"]
            assert {tail["service"] for tail in found} == tails


def test_settings_in_a_python_cell(cloud: Path) -> None:
    """A Worker that needs a Python cell has its settings there, as keywords."""
    deploy(**SETTINGS, bindings={"QUEUE": nd.Queue("jobs")})
    imported = nd.session("second").import_("api-dev")
    assert "    limits={'cpu_ms': 50}," in imported.cells[0]


@pytest.mark.parametrize(
    ("outside", "field", "before", "after"),
    [
        ({"observability": {"enabled": False}}, "observability", "", '{"enabled": true, "head_sampling_rate": 0.5}'),
        ({"logpush": False}, "logpush", "", "true"),
        ({"limits": {"cpu_ms": 99}}, "limits", '{"cpu_ms": 99}', '{"cpu_ms": 50}'),
        ({"placement": {"mode": ""}}, "placement", "", '{"mode": "smart"}'),
        ({"tags": []}, "tags", "", "team:a"),
    ],
)
def test_a_setting_changed_outside_is_drift(
    cloud: Path, outside: dict[str, Any], field: str, before: str, after: str
) -> None:
    """What somebody else set is a row of the drift with both values; deployed, it is as declared again."""
    session = deploy(**SETTINGS)
    with api("api-dev") as client:
        patch(client, outside)
    plan = session.plan()
    rows = [(c.before, c.after, c.detail) for c in plan.drift if c.field == field]
    assert [row[:2] for row in rows] == [(before, after)]
    assert rows[0][2].endswith("It was changed outside.")
    session.deploy(plan)
    assert session.plan().empty


def test_a_changed_declaration_names_its_setting(cloud: Path) -> None:
    """The plan says which setting becomes what; one that is no longer declared is taken away, and that is shown."""
    session = deploy(limits={"cpu_ms": 50}, logpush=True)
    nd.Worker("api", script=PLAIN, limits={"cpu_ms": 60})
    plan = session.plan()
    rows = {c.field: (c.before, c.after, c.detail) for c in plan.changes if c.kind == "setting"}
    assert rows == {
        "limits": ('{"cpu_ms": 50}', '{"cpu_ms": 60}', "Setting limits of api-dev is changed."),
        "logpush": ("true", "", "Setting logpush of api-dev is taken away."),
    }
    assert not plan.drift
    session.deploy(plan)
    with api("api-dev") as client:
        live = client.get("/settings").json()["result"]
    assert (live["limits"], live["logpush"]) == ({"cpu_ms": 60}, False)
    assert session.plan().empty


def test_the_compatibility_date_never_moves_by_itself(cloud: Path) -> None:
    """A new Worker gets the newest date that workerd knows; a live one keeps its own, imported or adopted."""
    session = deploy()
    with api("api-dev") as client:
        assert client.get("/settings").json()["result"]["compatibility_date"] == NEWEST_COMPATIBILITY_DATE
        patch(client, {"compatibility_date": "2025-01-01"})
        nd.Worker("api", script=PLAIN + "// 2")
        plan = session.plan()
        assert [s.compatibility_date for s in plan.steps if hasattr(s, "modules")] == ["2025-01-01"]
        session.deploy(plan)
        assert client.get("/settings").json()["result"]["compatibility_date"] == "2025-01-01"
    second = nd.session("second")
    second.import_("api-dev")
    assert second.plan().empty
    third = nd.session("third")
    nd.Worker("api", name="api-dev", script=PLAIN + "// 3", adopt=True)
    assert [s.compatibility_date for s in third.plan().steps if hasattr(s, "modules")] == ["2025-01-01"]


def test_a_code_update_strategy_travels_with_the_upload(cloud: Path) -> None:
    """It is part of the upload's metadata, where wrangler 4.141 and later send it; a change of it is an update."""
    from notebook_do.cloudflare.wire import encode_upload
    from notebook_do.model.steps import Upload

    session = nd.session("app")
    nd.Worker("api", script=PLAIN, code_update_strategy={"mode": "deferred", "max_delay": 30})
    plan = session.plan()
    (upload,) = (s for s in plan.steps if isinstance(s, Upload))
    sent = json.loads(encode_upload(upload, op="x").metadata.open())
    assert sent["code_update_strategy"] == {"mode": "deferred", "max_delay": 30}
    session.deploy(plan)
    assert session.plan().empty
    nd.Worker("api", script=PLAIN, code_update_strategy={"mode": "immediate"})
    assert not session.plan().empty


def test_preview_urls_are_switched_with_the_url(cloud: Path) -> None:
    """One step sets both; a switch that is not declared is left alone; one that was turned outside is put back."""
    session = deploy(url=False)
    nd.Worker("api", script=PLAIN, url=False, previews=True)
    plan = session.plan()
    assert [s.summary for s in plan.steps] == ["close the URL of Worker api-dev, previews on"]
    assert [(c.field, c.after) for c in plan.changes if c.kind == "url"] == [("previews", "on")]
    session.deploy(plan)
    with api("api-dev") as client:
        assert client.get("/subdomain").json()["result"] == {"enabled": False, "previews_enabled": True}
        assert session.plan().empty
        imported = nd.session("second").import_("api-dev")
        assert "--previews on" in imported.cells[0].partition("\n")[0]
        client.post("/subdomain", json={"enabled": False, "previews_enabled": False}).raise_for_status()
        again = nd.session("app")
        nd.Worker("api", script=PLAIN, url=False)
        assert again.plan().empty
        nd.Worker("api", script=PLAIN, url=False, previews=True)
        assert not again.plan().empty


FOREIGN: dict[str, Any] = {
    "observability": {"enabled": True, "logs": {"enabled": True, "invocation_logs": False}},
    "placement": {"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]},
    "limits": {"cpu_ms": 77},
    "logpush": True,
    "tail_consumers": [{"service": "api-dev"}],
    "cache_options": {"enabled": True},
    "compatibility_flags": ["nodejs_compat"],
}


def shown(client: httpx.Client) -> dict[str, Any]:
    """Give what the account shows of the settings that no upload of ours is about."""
    live = client.get("/settings").json()["result"]
    schedules = client.get("/schedules").json()["result"]["schedules"]
    newest = client.get("/deployments").json()["result"]["deployments"][0]
    strategy = newest["code_update_strategy"]
    return {**{k: live.get(k) for k in FOREIGN}, "crons": [s["cron"] for s in schedules], "strategy": strategy}


def test_what_this_session_never_set_stays(cloud: Path) -> None:
    """Settings and cron triggers that others set are no drift, and an upload keeps them and says so; so after import.

    What a new Worker has switched on by Cloudflare itself (observability) is the same case.
    """
    session = deploy()
    with api("api-dev") as client:
        patch(client, FOREIGN)
        client.put("/schedules", json=[{"cron": "5 * * * *"}]).raise_for_status()
        before = shown(client)
        assert session.plan().empty
        nd.Worker("api", script=PLAIN + "// 2")
        plan = session.plan()
        assert {c.field for c in plan.changes if c.action.value == "noop"} == {*FOREIGN, "crons"}
        session.deploy(plan)
        assert shown(client) == before
        assert session.plan().empty
        second = nd.session("second")
        second.import_("api-dev")
        assert second.plan().empty
        patch(client, {"limits": {"cpu_ms": 77, "subrequests": 5}})
        assert second.plan().empty


def test_what_is_no_longer_declared_is_taken_away_by_name(cloud: Path) -> None:
    """Each setting that the session set and no longer declares goes, and the plan names it with its value."""
    strategy = {"mode": "immediate"}
    settings = {**SETTINGS, "code_update_strategy": strategy, "tail_consumers": ["api"]}
    session = deploy(**settings, compatibility_flags=["nodejs_compat"], crons=["0 * * * *", "5 * * * *"])
    with api("api-dev") as client:
        assert shown(client)["strategy"] == strategy
    nd.Worker("api", script=PLAIN)
    plan = session.plan()
    rows = {c.field: c.before for c in plan.changes if c.kind in {"setting", "cron"}}
    assert rows == {
        **{name: json.dumps(value) for name, value in SETTINGS.items() if name not in {"tags", "logpush"}},
        "logpush": "true",
        "tags": "team:a",
        "tail_consumers": '[{"service": "api-dev"}]',
        "code_update_strategy": json.dumps(strategy),
        "compatibility_flags": "nodejs_compat",
        "crons": "0 * * * *, 5 * * * *",
    }
    session.deploy(plan)
    with api("api-dev") as client:
        now = shown(client)
        live = client.get("/settings").json()["result"] if "placement" in now else {}
    assert now == {
        "observability": {"enabled": False},
        "placement": None,
        "limits": {},
        "logpush": False,
        "tail_consumers": [],
        "cache_options": {"enabled": False},
        "compatibility_flags": [],
        "crons": [],
        "strategy": {"mode": "deferred", "max_delay": 300},
    }
    assert "team:a" not in live["tags"]
    assert session.plan().empty


def test_a_state_file_of_the_first_edition_keeps_what_it_does_not_know(cloud: Path) -> None:
    """Without a record of what was set, what is live and not declared is nobody's here: kept, and not talked of."""
    session = deploy(logpush=True, crons=["0 * * * *"])
    first_edition(session)
    assert session.plan().empty
    nd.Worker("api", script=PLAIN, crons=["0 * * * *"])
    plan = session.plan()
    assert [c.detail for c in plan.changes if c.kind == "setting" and c.action.value != "noop"] == [
        "The settings of api-dev are sent."
    ]
    session.deploy(plan)
    with api("api-dev") as client:
        assert client.get("/settings").json()["result"]["logpush"] is True
    assert session.plan().empty


def first_edition(session: nd.Session) -> None:
    """Take out of the state file what the first edition did not write."""
    from notebook_do.state.document import checksum

    document = json.loads(session.state_path.read_text())
    for worker in document["workers"].values():
        del worker["settings"]
    session.state_path.write_text(json.dumps({**document, "checksum": checksum(document)}))


def test_a_part_of_a_table_that_others_set_stays(cloud: Path) -> None:
    """Of a declared table the keys that others added stay; a key that is no longer declared goes, and is shown."""
    session = deploy(limits={"cpu_ms": 50}, observability={"enabled": True, "head_sampling_rate": 0.5})
    with api("api-dev") as client:
        patch(client, {"limits": {"cpu_ms": 50, "subrequests": 9}})
        assert session.plan().empty
        nd.Worker("api", script=PLAIN, limits={"cpu_ms": 60}, observability={"enabled": True})
        plan = session.plan()
        assert {c.field: c.after for c in plan.changes if c.kind == "setting"} == {
            "limits": '{"cpu_ms": 60}',
            "observability": '{"enabled": true}',
        }
        session.deploy(plan)
        live = client.get("/settings").json()["result"]
    assert live["limits"] == {"cpu_ms": 60, "subrequests": 9}
    assert live["observability"] == {"enabled": True}
    assert session.plan().empty


def test_a_targeted_placement_is_one_setting_in_each_spelling(cloud: Path) -> None:
    """A place beside the mode and a list of targets are the same placement; another place is a change."""
    session = deploy(placement={"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]})
    nd.Worker("api", script=PLAIN, placement={"region": "aws:eu-west-1"})
    assert [c.field for c in session.plan().changes if c.kind == "setting"] == ["settings"]  # another spelling
    session.deploy(session.plan())
    with api("api-dev") as client:
        assert client.get("/settings").json()["result"]["placement"] == {"region": "aws:eu-west-1"}
        patch(client, {"placement": {"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]}})
        assert session.plan().empty
        patch(client, {"placement": {"mode": "targeted", "target": [{"host": "db.example.com:5432"}]}})
    assert [c.field for c in session.plan().drift if c.kind == "setting"] == ["placement"]
