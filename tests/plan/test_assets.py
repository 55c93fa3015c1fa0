"""What a plan says and does of static assets: sent, replaced, removed, put back, or kept as somebody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.model import AssetFile, Desired, Observed, ObservedScript, Recorded, RecordedWorker, StaticAssets
from notebook_do.model.steps import Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.workers.settings import fingerprint
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan


def files(*paths: str) -> StaticAssets:
    """Give assets of these paths, 1,500 bytes each."""
    return StaticAssets(files=tuple(AssetFile(path=p, size=1500, hash=f"{p!r:>32}", source=p) for p in paths))


def declare(assets: StaticAssets | None) -> Desired:
    """Declare a Worker with assets, or without."""
    catalog = Catalog()
    catalog.declare(*parse_cell("worker site --no-url", "export default {};\n"))
    desired = catalog.desired("s", "production", read=reader())
    return replace(desired, workers=tuple(replace(w, assets=assets) for w in desired.workers))


def plan(wanted: StaticAssets | None, sent: StaticAssets | None, *, live: bool | None = True) -> Plan:
    """Plan a Worker of which `sent` was sent last; `live` is what Cloudflare says of its assets."""
    before = declare(sent).workers[0]
    record = RecordedWorker(
        id="site",
        script_name="site",
        etag="e1",
        lifecycle="exports",
        content_digest=before.content_digest,
        settings_digest=str(fingerprint(before)),
    )
    script = ObservedScript(name="site", etag="e1", lifecycle="exports", url=False, bindings=(), has_assets=live)
    return build_plan(
        declare(wanted),
        Recorded(lineage="f" * 32, workers=(record,)),
        Observed(account_id="a" * 32, api_origin="x", scripts=(script,), namespaces=()),
        target="local",
        default_compatibility_date="2026-01-01",
    )


def said(of: Plan) -> list[tuple[str, str, str]]:
    """Give the action, kind and words of each change about assets, drift included."""
    return [(c.action.value, c.after, c.detail) for c in (*of.changes, *of.drift) if c.kind == "assets"]


def upload(of: Plan) -> Upload:
    """Give the one step."""
    (step,) = of.steps
    assert isinstance(step, Upload)
    return step


def test_assets_that_are_new_are_sent_with_their_count_and_size() -> None:
    """The plan says how many files and bytes go; the upload has them."""
    wanted = files("/a.html", "/b.html")
    found = plan(wanted, None, live=False)
    assert said(found) == [("create", wanted.digest, "The static assets of site are sent: 2 files, 3,000 bytes.")]
    assert upload(found).assets == wanted
    assert not upload(found).keeps_assets


def test_assets_that_changed_are_replaced() -> None:
    """One file is said in the singular."""
    wanted = files("/a.html")
    found = plan(wanted, files("/b.html"))
    assert said(found) == [("update", wanted.digest, "The static assets of site are replaced: 1 file, 1,500 bytes.")]
    assert upload(found).assets == wanted


def test_assets_that_are_no_longer_declared_are_removed() -> None:
    """Only what this session sent is removed."""
    found = plan(None, files("/a.html"))
    assert said(found) == [("delete", "", "The static assets of site, which this session sent, are removed.")]
    assert upload(found).assets is None
    assert not upload(found).keeps_assets


def test_assets_that_are_the_same_need_nothing() -> None:
    """What is live as it was sent is not sent again; what Cloudflare does not tell counts as live."""
    for live in (True, None):
        found = plan(files("/a.html"), files("/a.html"), live=live)
        assert found.empty
        assert said(found) == []


def test_assets_that_were_removed_outside_are_put_back() -> None:
    """The drift names it, and the upload sends them again."""
    wanted = files("/a.html")
    found = plan(wanted, wanted, live=False)
    assert said(found) == [
        ("update", "", "The static assets of site were removed outside; this plan puts them back."),
    ]
    assert upload(found).assets == wanted


def test_assets_of_somebody_else_are_kept_by_every_upload() -> None:
    """An upload for another reason keeps them, and the plan says so; without a reason nothing is uploaded."""
    assert plan(None, None).empty
    wanted = declare(None)
    changed = replace(wanted, workers=tuple(replace(w, content_digest="other") for w in wanted.workers))
    record = RecordedWorker(id="site", script_name="site", etag="e1", lifecycle="exports", content_digest="c")
    script = ObservedScript(name="site", etag="e1", lifecycle="exports", url=False, bindings=(), has_assets=True)
    found = build_plan(
        changed,
        Recorded(lineage="f" * 32, workers=(record,)),
        Observed(account_id="a" * 32, api_origin="x", scripts=(script,), namespaces=()),
        target="local",
        default_compatibility_date="2026-01-01",
    )
    assert said(found) == [("noop", "", "The static assets of site, which are not declared here, are kept.")]
    assert upload(found).keeps_assets
