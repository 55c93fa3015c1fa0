"""Carries plans out on the reference model, and derives from it what a state file and an account would hold.

It holds every plan to what may never happen: an illegal request, a namespace that runs another one's class at any
moment, an object that ends up under another stable ID, a deletion without its consent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never

from reference_model import Account, Script, Space

from notebook_do.cloudflare.lifecycle import encode_lifecycle
from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.intents import with_ids, with_own_tags
from notebook_do.model import (
    ClassBinding,
    CreateClass,
    DeleteClass,
    Desired,
    DesiredNamespace,
    DesiredWorker,
    Json,
    Module,
    NamespaceId,
    Observed,
    ObservedBinders,
    ObservedNamespace,
    ObservedScript,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    RenameClass,
    ServiceBinding,
    StableId,
    Storage,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import DeleteScript, Forget, SetMark, SetSchedules, SetUrl, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.namespaces.marks import ID_DIGITS, read_mark
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, Lifecycle, MigrationTag, ScriptBinding
    from notebook_do.plan.plan import Plan, Refusal

ACCOUNT, ORIGIN = "a" * 32, "http://127.0.0.1:1"


@dataclass(frozen=True)
class Place:
    """Where a namespace is declared: script, class, storage."""

    script: str
    class_name: str
    kv: bool = False

    @property
    def storage(self) -> Storage:
        """Its storage, as the planner names it."""
        return Storage.KV if self.kv else Storage.SQLITE


Configuration = dict[str, Place]
"""Stable ID -> place."""


def source_of(script: str, configuration: Configuration) -> str:
    """Write a Worker's source: one line for each class, naming the stable ID that the class belongs to."""
    lines = [f"export class {p.class_name} {{}} // {i}" for i, p in sorted(configuration.items()) if p.script == script]
    return "\n".join([*lines, "export default {};"]) + "\n"


def declare(
    configuration: Configuration,
    *,
    scripts: Iterable[str] = ("w1", "w2"),
    transfers: Mapping[str, str] | None = None,
    destroy: Iterable[str] = (),
    lifecycle: Lifecycle | str = "auto",
    protect: bool = True,
) -> Desired:
    """Declare a configuration: each Worker binds what it hosts, and the first one also what the others host."""
    names = tuple(scripts)
    namespaces = tuple(
        DesiredNamespace(
            stable_id=StableId(i),
            class_name=p.class_name,
            script_name=p.script,
            host=p.script,
            storage=p.storage,
            transferred_from=(transfers or {}).get(i),
            protect=protect,
        )
        for i, p in sorted(configuration.items())
    )
    workers = []
    for script in names:
        bound = {i: p for i, p in configuration.items() if p.script == script or script == names[0]}
        source = source_of(script, configuration)
        workers.append(
            DesiredWorker(
                id=script,
                script_name=script,
                main_module="index.js",
                modules=(Module(name="index.js", content=source.encode()),),
                bindings=tuple(
                    ClassBinding(
                        name=i.upper(),
                        class_name=p.class_name,
                        script_name=None if p.script == script else p.script,
                        stable_id=StableId(i),
                    )
                    for i, p in sorted(bound.items())
                ),
                content_digest=source,
                url=False,
                lifecycle=lifecycle,  # type: ignore[arg-type]
            )
        )
    return Desired(
        session="s", stage="dev", namespaces=namespaces, workers=tuple(workers), destroy=tuple(sorted(destroy))
    )


def called(step: Upload) -> set[str]:
    """Name the Workers that an upload binds as services, or sends its tail to."""
    values = [b.value for b in step.bindings if not isinstance(b, ClassBinding)]
    tails = {str(tail["service"]) for tail in step.options.value.get("tail_consumers", ())}
    return tails | {value.worker for value in values if isinstance(value, ServiceBinding)}


def exported(step: Upload) -> dict[str, str]:
    """Give, for each class that the uploaded modules export, the stable ID whose class it is (empty for a stub)."""
    modules = {m.name: m.content.decode() for m in step.modules}
    main = modules[step.main_module]
    # An inspector has modules of ours alone, and exports no class.
    own = dict(re.findall(r"^export class (\w+) \{\} // (\S+)$", modules.get("index.js", ""), re.MULTILINE))
    if step.main_module == "index.js":
        return own
    aliases = re.search(r"^export \{ (.*) \} from", main, re.MULTILINE)
    pairs = [pair.split(" as ") for pair in aliases[1].split(", ")] if aliases else []
    stubs = re.findall(r"^export class (\w+) extends DurableObject \{\}$", main, re.MULTILINE)
    return own | {alias: own[name] for name, alias in pairs} | dict.fromkeys(stubs, "")


@dataclass
class World:
    """One account with the state file of one session."""

    account: Account = field(default_factory=Account)
    recorded: Recorded = field(default_factory=lambda: Recorded(lineage="f" * 32))
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    urls: dict[str, bool] = field(default_factory=dict)
    values: dict[str, tuple[ScriptBinding, ...]] = field(default_factory=dict)
    """The bindings of each script that are no Durable Objects."""
    options: dict[str, Json] = field(default_factory=dict)
    """The other settings of each script."""
    splits: set[str] = field(default_factory=set)
    requests: int = 0

    def copy(self) -> World:
        """Give a world that can go on separately."""
        account = Account(
            scripts={k: replace(v) for k, v in self.account.scripts.items()},
            spaces={k: replace(v) for k, v in self.account.spaces.items()},
            pending=dict(self.account.pending),
            made=self.account.made,
        )
        return World(
            account=account,
            recorded=self.recorded,
            tags=dict(self.tags),
            urls=dict(self.urls),
            values=dict(self.values),
            options=dict(self.options),
        )

    def observed(self) -> Observed:
        """See what is live."""
        scripts = tuple(
            ObservedScript(
                name=s.name,
                etag=f"{s.name}-{s.uploads}",
                lifecycle=s.form,  # type: ignore[arg-type]
                migration_tag=s.tag,  # type: ignore[arg-type]
                tags=self.tags.get(s.name, ()),
                bindings=(*_class_bindings(s), *self.values.get(s.name, ())),
                url=self.urls.get(s.name, False),
                split=s.name in self.splits,
                binders=self._binders(s),
                options=self.options.get(s.name, Json({})),
            )
            for s in sorted(self.account.scripts.values(), key=lambda s: s.name)
        )
        spaces = tuple(_observed(s) for s in sorted(self.account.spaces.values(), key=lambda s: s.id))
        return Observed(account_id=ACCOUNT, api_origin=ORIGIN, scripts=scripts, namespaces=spaces)

    def _binders(self, script: Script) -> ObservedBinders:
        """See who else binds what a script hosts."""
        others = [s for s in self.account.scripts.values() if s.name != script.name]
        pairs = [
            (NamespaceId(self.account.spaces[script.name, c].id), other.name)
            for other in others
            for _, c, host in other.bindings
            if host == script.name and (script.name, c) in self.account.spaces
        ]
        return ObservedBinders(pairs=tuple(sorted(pairs)))

    def plan(self, desired: Desired) -> Plan:
        """Plan against this world."""
        return build_plan(
            desired, self.recorded, self.observed(), target="local", default_compatibility_date="2026-01-01"
        )

    def apply(self, plan: Plan) -> None:
        """Carry the plan out; fails where something happens that may not."""
        assert not plan.refusals
        consented = {c.namespace_id for c in plan.consents}
        before = set(self._ids())
        drawn: dict[MigrationTag, MigrationTag] = {}
        for step in plan.steps:
            match step:
                case Upload():
                    self._upload(with_own_tags(step, self.recorded, drawn), doomed=consented)
                case SetMark():
                    self._mark(step)
                case DeleteScript():
                    self.requests += 1
                    self.account.delete(step.script_name)
                    self._record(forgotten=step.forgotten, without=(step.worker,))
                case Forget():
                    self._record(forgotten=step.stable_ids, without=step.workers)
                case SetUrl() | SetSchedules():
                    self._settings(step)
                case _:
                    assert_never(step)
        assert before - set(self._ids()) == consented, "a namespace went without consent, or a consent was not used"

    def _mark(self, step: SetMark) -> None:
        """Set the tags as the deployer does: what is live, with the ids that are recorded by then."""
        self.requests += 1
        live = next(s for s in self.observed().scripts if s.name == step.script_name)
        ids = {n.stable_id: n.namespace_id for n in self.recorded.namespaces}
        self.tags[step.script_name] = with_ids(step, live, ids).tags
        mark = read_mark(self.tags[step.script_name])
        assert mark is not None
        for stable_id, entry in mark.entries.items():
            space = self.account.spaces[step.script_name, entry.class_name]
            assert entry.begins == space.id[:ID_DIGITS], f"the mark has another id of {stable_id}"

    def _settings(self, step: SetUrl | SetSchedules) -> None:
        self.requests += 1
        assert step.script_name in self.account.scripts
        if isinstance(step, SetUrl):
            self.urls[step.script_name] = step.enabled
        (record,) = (w for w in self.recorded.workers if w.id == step.worker)
        record = replace(record, settings_digest=step.settings_digest)
        if isinstance(step, SetSchedules):
            ours = [cron for cron in step.crons if cron not in step.kept]
            record = replace(record, settings=Json({**record.set_here, "crons": ours}))
        self._record(worker=record)

    def _ids(self) -> list[str]:
        return [s.id for s in self.account.spaces.values()]

    def _upload(self, step: Upload, *, doomed: set[str]) -> None:
        self.requests += 1
        code = exported(step)
        bindings = frozenset(
            (b.name, b.class_name, b.script_name) for b in step.bindings if isinstance(b, ClassBinding)
        )
        lifecycle = encode_lifecycle(step)
        assert step.creates == (step.script_name not in self.account.scripts)
        self.account.upload(step.script_name, frozenset(code), bindings, lifecycle)
        absent = called(step) - self.account.scripts.keys()
        assert not absent, f"{step.script_name} names Workers that are not there (10143, 10203): {absent}"
        self.tags[step.script_name] = step.tags
        self.options[step.script_name] = step.options
        self.values[step.script_name] = tuple(b for b in step.bindings if not isinstance(b, ClassBinding))
        records = []
        for record in step.namespace_records:
            space = self.account.spaces[record.script_name, record.class_name]
            assert record.namespace_id in {"", space.id}, "a record names another namespace than the live one"
            assert space.storage == record.storage.value
            records.append(replace(record, namespace_id=NamespaceId(space.id)))
        assert step.worker_record is not None
        etag = f"{step.script_name}-{self.account.scripts[step.script_name].uploads}"
        self._record(records=records, worker=replace(step.worker_record, etag=etag), forgotten=step.forgotten)
        owner = {r.namespace_id: r.stable_id for r in self.recorded.namespaces}
        for (script, class_name), space in self.account.spaces.items():
            if script == step.script_name and space.id not in doomed:
                assert code[class_name] == owner[NamespaceId(space.id)], "a namespace runs the class of another one"

    def _record(
        self,
        *,
        records: Iterable[RecordedNamespace] = (),
        worker: RecordedWorker | None = None,
        forgotten: Iterable[StableId] = (),
        without: Iterable[str] = (),
    ) -> None:
        namespaces = {r.stable_id: r for r in self.recorded.namespaces if r.stable_id not in forgotten}
        workers = {w.id: w for w in self.recorded.workers if w.id not in without}
        namespaces |= {r.stable_id: r for r in records}
        if worker is not None:
            workers[worker.id] = worker
        self.recorded = replace(
            self.recorded,
            serial=self.recorded.serial + 1,
            account_id=ACCOUNT,
            api_origin=ORIGIN,
            workers=tuple(sorted(workers.values(), key=lambda w: w.id)),
            namespaces=tuple(sorted(namespaces.values(), key=lambda n: n.stable_id)),
        )

    def identities(self) -> dict[str, str]:
        """Give the recorded namespace id by stable ID."""
        return {r.stable_id: r.namespace_id for r in self.recorded.namespaces}


def _class_bindings(script: Script) -> list[ClassBinding]:
    return [ClassBinding(name=n, class_name=c, script_name=h) for n, c, h in sorted(script.bindings, key=str)]


def _observed(space: Space) -> ObservedNamespace:
    return ObservedNamespace(
        namespace_id=NamespaceId(space.id),
        script_name=space.script,
        class_name=space.class_name,
        storage=Storage(space.storage),
    )


def reach(configuration: Configuration, lifecycle: str = "auto") -> World:
    """Give the world after a first deploy of a configuration; `exports` converts what had to begin otherwise."""
    world = World()
    begins_kv = any(p.kv for p in configuration.values())
    first = "migrations" if lifecycle == "exports" and begins_kv else lifecycle
    world.apply(world.plan(declare(configuration, lifecycle=first)))
    if first != lifecycle:
        world.apply(world.plan(declare(configuration, lifecycle=lifecycle)))
    return world


def body(**classes: str) -> str:
    """Write the source of a cell: the stable ID that each class belongs to."""
    return (
        "".join(f"export class {name} {{}} // {stable_id}\n" for name, stable_id in classes.items())
        + "export default {};\n"
    )


class Book:
    """A notebook: cells declare, plans are made against a world, and deployed on it."""

    def __init__(self, world: World | None = None) -> None:
        self.catalog, self.world = Catalog(), world or World()

    def cell(self, line: str, source: str | None = None) -> None:
        """Run a cell."""
        self.catalog.declare(*parse_cell(line, source))

    def plan(self, *destroy: str) -> Plan:
        """Plan what is declared."""
        return self.world.plan(self.catalog.desired("s", "production", read=reader(), destroy=destroy))

    def deploy(self, *destroy: str) -> Plan:
        """Plan, carry it out, and check that nothing is left to do."""
        plan = self.plan(*destroy)
        assert [r.code for r in plan.refusals] == []
        self.world.apply(plan)
        return plan

    def refused(self, *destroy: str) -> dict[str, Refusal]:
        """Plan, and give the refusals by code; there are some, and nothing would be sent."""
        plan = self.plan(*destroy)
        assert plan.refusals
        assert not plan.steps
        return {r.code: r for r in plan.refusals}

    def namespace_id(self, stable_id: str) -> str:
        """Give the namespace id that is recorded now, and live."""
        id_ = self.world.identities()[stable_id]
        assert id_ in {s.id for s in self.world.account.spaces.values()}
        return id_


def words(plan: Plan) -> list[str]:
    """Say in a line each what the steps of a plan do."""
    said = []
    for step in plan.steps:
        if not isinstance(step, Upload):
            said.append(step.summary)
            continue
        migrations = step.migration.class_migrations if step.migration else ()
        said.append(f"{'create' if step.creates else 'upload'} {step.script_name}{''.join(map(_said, migrations))}")
    return said


def _said(migration: ClassMigration) -> str:
    match migration:
        case CreateClass():
            return f", create {migration.class_name}"
        case RenameClass():
            return f", rename {migration.from_class} to {migration.to_class}"
        case TransferClass():
            return f", take {migration.from_script}.{migration.from_class} as {migration.to_class}"
        case TransferredAway():
            return f", hand {migration.class_name} to {migration.to_script}"
        case DeleteClass():
            return f", delete {migration.class_name}"
        case _:
            assert_never(migration)
