"""Routes and custom domains as a deploy sets them, all of a script's at once; they answer on the Workers port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair(server: Any, script: str) -> Iterator[tuple[str, str]]:
    """Give two deployed Workers that say their names, and delete them with what was set for them."""
    names = (f"{script[:50]}-a", f"{script[:50]}-b")
    for name in names:
        source = f"export default {{ fetch() {{ return new Response('{name}'); }} }};"
        assert server.upload(name, source).status_code == 200
    yield names
    for name in names:
        server.http.delete(f"{server.scripts}/{name}?force=true")


def visit(server: Any, host: str, path: str = "/") -> str:
    """Call the Workers port under a declared host name; "" is no Worker."""
    answer = httpx.get(server.target.url + path, headers={"Host": host}, timeout=30, trust_env=False)
    return "" if answer.status_code == 421 else answer.text


def put_domains(server: Any, script: str, *origins: dict[str, Any], **options: Any) -> httpx.Response:
    """Set custom domains as wrangler does."""
    body = {"override_scope": True, **options, "origins": list(origins)}
    answer: httpx.Response = server.http.put(f"{server.scripts}/{script}/domains/records", json=body)
    return answer


def test_routes_are_replaced_as_a_whole(server: Any, pair: tuple[str, str]) -> None:
    """A PUT of routes makes them the script's; those that stay keep their ids; each answers by Host and path."""
    first, second = pair
    url = f"{server.scripts}/{first}/routes"
    wanted = [{"pattern": "shop.example.com/a/*", "zone_name": "example.com"}, {"pattern": "*.example.net/b"}]
    made = {route["pattern"]: route for route in server.http.put(url, json=wanted).json()["result"]}
    assert {route["script"] for route in made.values()} == {first}
    assert visit(server, "shop.example.com", "/a/1") == first
    assert visit(server, "x.example.net", "/b") == first
    zone = server.result("/zones?name=example.com")[0]["id"]
    kept = server.http.put(url, json=[{"pattern": "shop.example.com/a/*", "zone_id": zone}]).json()["result"]
    assert kept == [made["shop.example.com/a/*"]]
    assert server.result(f"/zones/{zone}/workers/routes") == kept
    assert visit(server, "x.example.net", "/b") == ""
    taken = server.http.put(f"{server.scripts}/{second}/routes", json=wanted)
    assert server.code_of(taken) == 10020
    assert server.result(f"/zones/{zone}/workers/routes") == kept


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"pattern": "example.com/*"}, 10001),
        (["example.com/*"], 10001),
        ([{"pattern": 5}], 1001),
        ([{"pattern": "example.org/*", "zone_name": "example.com"}], 10022),
        ([{"pattern": "example.org/*", "zone_id": "no id"}], 1001),
        ([{"pattern": "a.invalid/*"}], 1001),
    ],
)
def test_routes_that_cannot_be_are_refused(server: Any, pair: tuple[str, str], body: Any, code: int) -> None:
    """A malformed list, a pattern of another zone, a zone that is not there: a code, and nothing changes."""
    url = f"{server.scripts}/{pair[0]}/routes"
    server.http.put(url, json=[{"pattern": "stays.example.com/*"}])
    assert server.code_of(server.http.put(url, json=body)) == code
    assert visit(server, "stays.example.com") == pair[0]
    assert server.code_of(server.http.put(f"{server.scripts}/nobody/routes", json=[])) == 10007


def test_a_configuration_of_a_real_account_is_taken(server: Any, pair: tuple[str, str]) -> None:
    """A zone id of Cloudflare means the zone of the host name here, and a zone of three labels is there once named."""
    foreign = "f" * 32
    assert server.result(f"/zones/{foreign}/workers/routes") == []
    routes = [
        {"pattern": "a.example.com/*", "zone_id": foreign},
        {"pattern": "b.example.co.uk/*", "zone_name": "example.co.uk"},
        {"pattern": "c.example.co.uk/*"},
    ]
    put = server.http.put(f"{server.scripts}/{pair[0]}/routes", json=routes)
    assert put.status_code == 200, put.text
    for host in ("a.example.com", "b.example.co.uk", "c.example.co.uk"):
        assert visit(server, host) == pair[0]
    (zone,) = server.result("/zones?name=example.co.uk")
    assert len(server.result(f"/zones/{zone['id']}/workers/routes")) == 2
    assert server.result("/zones?name=b.example.co.uk") == []
    assert put_domains(server, pair[0], {"hostname": "d.example.com", "zone_id": foreign}).status_code == 200
    assert visit(server, "d.example.com") == pair[0]


def test_custom_domains_are_shown_before_they_are_set(server: Any, pair: tuple[str, str]) -> None:
    """The changeset says what is new, what moves and what goes, and changes nothing; then the records are set."""
    first, second = pair
    changes = f"{server.scripts}/{second}/domains/changeset?replace_state=true"
    one, two = {"hostname": "one.example.com"}, {"hostname": "two.example.com", "zone_name": "example.com"}
    assert put_domains(server, first, one).status_code == 200
    assert put_domains(server, second, two).status_code == 200
    fresh = {"hostname": "new.example.com", "previews_enabled": True}
    said = server.http.post(changes, json=[one, fresh]).json()["result"]
    assert [(d["hostname"], d["previews_enabled"]) for d in said["added"]] == [("new.example.com", True)]
    assert [(d["hostname"], d["service"], d["modified"]) for d in said["updated"]] == [("one.example.com", first, True)]
    assert [d["hostname"] for d in said["removed"]] == ["two.example.com"]
    assert said["conflicting"] == []
    record = said["updated"][0]["id"]
    assert server.result(f"{server.account}/workers/domains/records/{record}")["service"] == first
    assert (visit(server, "one.example.com"), visit(server, "new.example.com")) == (first, "")
    refused = put_domains(server, second, one, fresh)
    assert server.code_of(refused) == 100116
    assert visit(server, "new.example.com") == ""
    moved = put_domains(server, second, one, fresh, override_existing_origin=True).json()["result"]
    assert {d["hostname"]: (d["id"] == record, d["previews_enabled"]) for d in moved} == {
        "one.example.com": (True, False),
        "new.example.com": (False, True),
    }
    assert (visit(server, "one.example.com"), visit(server, "two.example.com")) == (second, "")
    unchanged = server.http.post(changes, json=[one, fresh]).json()["result"]
    assert [d["modified"] for d in unchanged["updated"]] == [False, False]


def test_a_custom_domain_can_be_switched_off(server: Any, pair: tuple[str, str]) -> None:
    """One that is not enabled is kept and listed, and leads nowhere."""
    off = {"hostname": "off.example.com", "enabled": False}
    assert put_domains(server, pair[0], off).json()["result"][0]["enabled"] is False
    assert visit(server, "off.example.com") == ""
    listed = server.result(f"{server.account}/workers/domains?hostname=off.example.com")
    assert [(d["service"], d["enabled"]) for d in listed] == [(pair[0], False)]
    put_domains(server, pair[0], {**off, "enabled": True})
    assert visit(server, "off.example.com") == pair[0]


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ({"hostname": "*.example.com"}, 10001),
        ({"hostname": "a.example.org", "zone_name": "example.com"}, 10001),
        ({"hostname": "a.example.com", "zone_id": "no id"}, 1001),
        ({"hostname": "a.example.com", "enabled": "yes"}, 10001),
        ({}, 10001),
    ],
)
def test_custom_domains_that_cannot_be_are_refused(
    server: Any, pair: tuple[str, str], origin: dict[str, Any], code: int
) -> None:
    """A wildcard, a name outside its zone, a zone that is not there: a code, and the domains stay as they were."""
    put_domains(server, pair[0], {"hostname": "stays.example.com"})
    assert server.code_of(put_domains(server, pair[0], origin)) == code
    assert visit(server, "stays.example.com") == pair[0]
