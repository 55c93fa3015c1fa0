"""Turns scheduled uploads into steps: modules, bindings, tags, migration, and the records that follow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from notebook_do.model import (
    TAG_PREFIX,
    ClassBinding,
    DeleteClass,
    Json,
    Migration,
    MigrationTag,
    NamespaceId,
    RecordedNamespace,
    RecordedWorker,
    ServiceBinding,
    StableId,
    TransferredAway,
)
from notebook_do.model.steps import KEPT, SetMark, SetSchedules, SetUrl, Upload
from notebook_do.plan.namespaces.marks import Entry, Mark, entry_of, marked_tags, read_mark, write_mark
from notebook_do.plan.namespaces.moves import TEMPORARY, created_by, with_exports
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import named_secrets
from notebook_do.plan.workers.diff import keeps_assets
from notebook_do.plan.workers.lifecycle import has_another_project, moved_after, moved_before
from notebook_do.plan.workers.ownership import is_drawn_here
from notebook_do.plan.workers.settings import UNSET, dropped_tags, recorded_settings, sent_flags, sent_options, set_here
from notebook_do.plan.workers.triggers import kept_crons, stops_consuming, wanted_crons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import MovedClass, ScriptBinding
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.namespaces.moves import NamespaceMove
    from notebook_do.plan.namespaces.schedule import ScheduledUpload
    from notebook_do.plan.workers.diff import WorkerDiff
    from notebook_do.plan.workers.ownership import Ownership


@dataclass(slots=True, kw_only=True)
class Uploads:
    """Makes the steps in their order; keeps what each leaves behind for the next: migration tags, class histories."""

    facts: Facts
    diffs: dict[str, WorkerDiff]
    """By script name."""
    resolved: dict[StableId, ResolvedNamespace]
    moves: dict[StableId, NamespaceMove]
    default_compatibility_date: str
    closed_last: frozenset[str] = frozenset()
    """Scripts whose address is closed after all else, cron triggers included."""
    warnings: list[str] = field(default_factory=list)
    _tags: dict[str, MigrationTag | None] = field(default_factory=dict)
    _marks: dict[str, Mark | None] = field(default_factory=dict)
    """What the tags of the last upload of each script say."""
    _started: set[str] = field(default_factory=set)
    _history: dict[StableId, tuple[str, ...]] = field(default_factory=dict)
    _moved: dict[str, tuple[MovedClass, ...]] = field(default_factory=dict)

    def steps(self, uploads: Iterable[ScheduledUpload]) -> list[Step]:
        """Return the steps of all uploads, each script's URL and crons after its last upload, new ids at the end.

        A mark is set as script tags, which makes what is live another one than this plan was compared with; so it
        comes after every upload that rests on that.
        """
        listed = list(uploads)
        last = {scheduled.script: n for n, scheduled in enumerate(listed)}
        created = created_by(listed)
        known = {r.stable_id for r in self.facts.recorded.namespaces if r.namespace_id in self.facts.live}
        steps: list[Step] = []
        marks: list[Step] = []
        for number, scheduled in enumerate(listed):
            upload = self._upload(scheduled)
            steps.append(upload)
            if last[scheduled.script] == number:
                new = created[scheduled.script]
                marks += self._mark(scheduled.script, self._marks[scheduled.script] if new else None, new)
                steps += self.settings(scheduled.script)
        for script in self.diffs:
            if script not in last:
                marks += self._interrupted_mark(script, known)
                steps += self.settings(script)
        return [*steps, *marks]

    # --- the ids in the mark

    def _interrupted_mark(self, script: str, known: set[StableId]) -> list[Step]:
        """Return the step that an interrupted deploy left out: it puts the ids of what it created into the mark."""
        ownership = self.diffs[script].ownership
        desired = self.facts.desired
        if ownership.live is None or ownership.mark is None or not ownership.mark.is_of(desired.session, desired.stage):
            return []
        return self._mark(script, ownership.mark, known)

    def _mark(self, script: str, mark: Mark | None, known: set[StableId]) -> list[Step]:
        """Return the step that puts ids into the mark that is live then, where it waits for one of `known`."""
        entries = mark.entries if mark else {}
        waiting = [StableId(i) for i in sorted(entries) if entries[i].begins == "" and i in known]
        worker = self.diffs[script].ownership.worker
        return [SetMark(worker=worker.id, script_name=script, stable_ids=tuple(waiting))] if waiting else []

    def settings(self, script: str) -> list[Step]:
        """Return the steps that set a script's URL and cron triggers where they are not as declared.

        Each records the fingerprint that is reached with it, so that a deploy that ends between them is continued.
        """
        diff = self.diffs[script]
        worker = diff.ownership.worker
        steps: list[Step] = []
        reached = replace(diff.wanted, url=diff.before.url, crons=diff.before.crons)
        due = {"url": diff.sets_url or diff.sets_previews, "crons": diff.sets_crons}
        # An address that a route or a custom domain replaces is closed last, so that the Worker is never without any.
        for what in ("crons", "url") if script in self.closed_last else ("url", "crons"):
            if not due[what]:
                continue
            reached = replace(reached, **{what: getattr(diff.wanted, what)})
            steps.append(
                SetUrl(
                    worker=worker.id,
                    script_name=script,
                    enabled=worker.url,
                    previews=worker.previews,
                    settings_digest=str(reached),
                )
                if what == "url"
                else SetSchedules(
                    worker=worker.id,
                    script_name=script,
                    crons=wanted_crons(diff.ownership, diff.before),
                    kept=kept_crons(diff.ownership, diff.before),
                    settings_digest=str(reached),
                )
            )
        return steps

    def _upload(self, scheduled: ScheduledUpload) -> Upload:
        diff = self.diffs[scheduled.script]
        worker, live = diff.ownership.worker, diff.ownership.live
        creates = live is None and scheduled.script not in self._started
        self._started.add(scheduled.script)
        main_module, modules = with_exports(worker.main_module, worker.modules, scheduled.exports)
        migration = self._migration(scheduled, diff)
        desired = self.facts.desired
        entries: dict[str, Entry] = {
            i: entry_of(class_name, self.moves[i].namespace_id) for class_name, _, i in scheduled.hosted
        }
        mark = write_mark(desired.session, desired.stage, entries)
        ours = set_here(diff.ownership)
        # An upload replaces the whole list of tags, those of other tools included.
        stay = [t for t in (live.tags if live else ()) if t not in dropped_tags(worker, ours)]
        tags = marked_tags((*stay, *worker.options.value.get("tags", ())), mark)
        fits = set(mark) <= set(tags)
        self._marks[scheduled.script] = (
            Mark(session=desired.session, stage=desired.stage, entries=entries) if fits else read_mark(tags)
        )
        if scheduled.final and not fits:
            self.warnings.append(say("no-room-for-the-mark", script=scheduled.script))
        # An upload without a compatibility date gets the oldest there is, 2021-11-02.
        found_date = live.compatibility_date if live else self.default_compatibility_date
        records = self._namespace_records(scheduled)
        return Upload(
            worker=worker.id,
            script_name=scheduled.script,
            main_module=main_module,
            modules=modules,
            bindings=tuple(b for b in (self._binding(b, scheduled, diff) for b in worker.bindings) if b),
            compatibility_date=worker.compatibility_date or found_date,
            compatibility_flags=sent_flags(diff.ownership, ours),
            options=self._options(scheduled, diff),
            tags=tags,
            migration=migration,
            moved=self._earlier_names(scheduled, diff),
            entries=live.entries if live else Json({}),
            creates=creates,
            assets=worker.assets,
            keeps_assets=keeps_assets(diff.ownership, diff.before),
            named_secrets=named_secrets(diff.ownership, diff.secret_statuses),
            line=worker.where.cell_line if worker.where else None,
            body_line=worker.where.body_line if worker.where else None,
            worker_record=self._worker_record(scheduled, diff, migration),
            namespace_records=records,
            forgotten=self._forgotten(scheduled, records),
        )

    # --- migration

    def _migration(self, scheduled: ScheduledUpload, diff: WorkerDiff) -> Migration | None:
        ownership = diff.ownership
        classes = tuple((class_name, storage) for class_name, storage, _ in scheduled.hosted)
        if ownership.form == "exports":
            # A Worker that has once declared `exports` must do so in every later upload, also when it hosts no class
            # any more. One that never hosted any is sent without.
            declared = ownership.live is not None and ownership.live.lifecycle == "exports"
            declared = declared or (ownership.record is not None and ownership.record.lifecycle == "exports")
            if not (classes or scheduled.class_migrations or declared or ownership.converts):
                return None
            return Migration(wire="exports", class_migrations=scheduled.class_migrations, classes=classes)
        old_tag = self._tags.get(scheduled.script, ownership.old_tag)
        if not scheduled.class_migrations:
            return None
        told = has_another_project(ownership)
        new_tag = self._new_tag(scheduled, old_tag, fixed=told)
        self._tags[scheduled.script] = new_tag
        return Migration(
            wire="migrations",
            class_migrations=scheduled.class_migrations,
            classes=classes,
            old_tag=old_tag,
            new_tag=new_tag,
            told=told,
        )

    def _earlier_names(self, scheduled: ScheduledUpload, diff: WorkerDiff) -> tuple[MovedClass, ...]:
        """Return the earlier class names of which this upload says what became; the `migrations` form says none."""
        if diff.ownership.form == "migrations":
            return ()
        before = self._moved.get(scheduled.script, moved_before(diff.ownership))
        ids = {id_: self.moves[id_].namespace_id for _, _, id_ in scheduled.hosted}
        self._moved[scheduled.script] = moved_after(scheduled, before, ids)
        return self._moved[scheduled.script]

    def _new_tag(self, scheduled: ScheduledUpload, old_tag: MigrationTag | None, *, fixed: bool) -> MigrationTag:
        """Return the tag of this very migration: the same plan makes the same tag, any other plan another.

        The deployer completes it with the lineage and a random part, so that no two attempts set the same tag. One that
        is `fixed` stays as it is, because the plan shows it to another project: it names all that the upload does, and
        the tag before it guards against a second attempt (10079).
        """
        desired, diff = self.facts.desired, self.diffs[scheduled.script]
        worker, classes = diff.ownership.worker, [repr(m) for m in scheduled.class_migrations]
        named = [scheduled.script, old_tag, classes, worker.content_digest, len(self._started)]
        if fixed:
            etag = diff.ownership.live.etag if diff.ownership.live else None
            named += [desired.session, desired.stage, str(diff.wanted), etag]
        digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()[: 16 if fixed else 8]
        return MigrationTag(f"{TAG_PREFIX}{self.facts.recorded.serial + 1}-{digest}")

    # --- settings and bindings

    def _options(self, scheduled: ScheduledUpload, diff: WorkerDiff) -> Json:
        """Return the options, without the tail consumers that do not exist yet: Cloudflare refuses those (10203).

        The Worker is uploaded once more after them, as it is for a service that does not exist yet (10143).
        """
        options = sent_options(diff.ownership)
        tails = options.value.get("tail_consumers", ())
        there = [t for t in tails if (s := t.get("service")) not in self.diffs or s in scheduled.services]
        return options if len(there) == len(tails) else Json({**options.value, "tail_consumers": there})

    def _binding(self, binding: ScriptBinding, scheduled: ScheduledUpload, diff: WorkerDiff) -> ScriptBinding | None:
        """Return the binding as it can be bound in this upload; None when what it binds does not exist yet.

        A class is bound where its namespace is at this moment, which may be on its way to where it is declared.
        """
        if isinstance(binding, ClassBinding):
            if binding.stable_id is None or binding.stable_id not in self.moves:
                return None if binding.class_name in scheduled.barred else binding
            place = scheduled.places.get(binding.stable_id)
            if place is None or place.class_name in scheduled.barred:
                return None
            script = None if place.script == scheduled.script else place.script
            environment = binding.environment if script else None
            declared = binding.class_name, binding.script_name, binding.environment
            if (place.class_name, script, environment) == declared:
                return binding
            return replace(binding, class_name=place.class_name, script_name=script, environment=environment)
        if isinstance(binding.value, ServiceBinding) and binding.value.worker in self.diffs:
            return binding if binding.value.worker in scheduled.services else None
        if diff.secret_statuses.get(binding.name) == "kept":
            return replace(binding, value=KEPT)
        return binding

    # --- records

    def _worker_record(
        self, scheduled: ScheduledUpload, diff: WorkerDiff, migration: Migration | None
    ) -> RecordedWorker:
        """Return what is recorded of the Worker once this upload is made.

        Digests stand in the record of its last upload only: a deploy that ends before that one is to be gone on with.
        """
        ownership = diff.ownership
        upload = diff.wanted.upload if scheduled.final else UNSET
        reached = replace(diff.before, upload=upload, assets=diff.wanted.assets)
        was = ownership.live.lifecycle if ownership.live else None
        triggers = ownership.record.triggers if ownership.record else ()
        if stops_consuming(ownership.worker):  # its consumers are removed before this upload, see namespaces/order.py
            triggers = tuple(t for t in triggers if t.kind != "consumer")
        return RecordedWorker(
            id=ownership.worker.id,
            script_name=scheduled.script,
            lifecycle=migration.wire if migration else was,
            migration_tag=self._recorded_tag(ownership),
            content_digest=ownership.worker.content_digest if scheduled.final else None,
            settings_digest=str(reached),
            triggers=triggers,
            settings=recorded_settings(ownership),
            moved=self._moved.get(scheduled.script, ()),
            inspector=ownership.worker.inspector,
        )

    def _recorded_tag(self, ownership: Ownership) -> MigrationTag | None:
        """Return the tag that is live after an upload; with `exports` only another's, which is known from then on."""
        tag = self._tags.get(ownership.worker.script_name, ownership.old_tag)
        is_told_anyway = tag is not None and is_drawn_here(tag, self.facts.recorded)
        return None if ownership.form == "exports" and is_told_anyway else tag

    def _namespace_records(self, scheduled: ScheduledUpload) -> tuple[RecordedNamespace, ...]:
        """Return the records of what the script hosts then, and of what it hands over: that is at its new host then."""
        here = [(i, scheduled.script, class_name) for class_name, _, i in scheduled.hosted]
        away = [m for m in scheduled.class_migrations if isinstance(m, TransferredAway)]
        here += [(m.stable_id, m.to_script, m.class_name) for m in away]
        return tuple(self._record(*place) for place in sorted(here) if place[0] in self.resolved)

    def _record(self, stable_id: StableId, script: str, class_name: str) -> RecordedNamespace:
        """Return the record of a namespace; a name that it bears only on its way is no part of its class history."""
        resolved, move = self.resolved[stable_id], self.moves[stable_id]
        history = self._history.get(stable_id)
        if history is None:
            history = resolved.record.class_history if resolved.record else ()
            history = history or ((resolved.live.class_name,) if resolved.live else ())
        if not class_name.startswith(TEMPORARY) and (not history or history[-1] != class_name):
            history = (*history, class_name)
        self._history[stable_id] = history
        return RecordedNamespace(
            stable_id=stable_id,
            namespace_id=move.namespace_id or NamespaceId(""),
            script_name=script,
            class_name=class_name,
            storage=move.storage,
            protected=resolved.desired.protect,
            class_history=history,
        )

    def _forgotten(self, scheduled: ScheduledUpload, records: tuple[RecordedNamespace, ...]) -> tuple[StableId, ...]:
        """Return the recorded stable IDs that end with this upload: those renamed, and those it deletes."""
        formerly = {f for r in records if (f := self.resolved[r.stable_id].formerly)}
        deleted = {m.stable_id for m in scheduled.class_migrations if isinstance(m, DeleteClass)}
        return tuple(sorted((formerly | deleted) & self.facts.records.keys()))
