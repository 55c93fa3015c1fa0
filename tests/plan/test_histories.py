"""Random histories of a notebook, on the reference model: no object is lost, gets another stable ID, or begins anew.

Cells are declared, renamed, swapped, moved and forgotten; deploys succeed, stop halfway, or are refused; the state file
is lost; others edit what is live. Failing histories are shrunk by Hypothesis.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from plan_world import Configuration, Place, World, declare

from notebook_do.model import DesiredNamespace, Recorded, StableId

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

IDS, SCRIPTS, CLASSES = ("a", "b", "c", "d"), ("w1", "w2"), ("A", "B", "C", "D")
ids, scripts, classes = st.sampled_from(IDS), st.sampled_from(SCRIPTS), st.sampled_from(CLASSES)


class Notebook(RuleBasedStateMachine):
    """One notebook, one account."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.declared: Configuration = {}
        self.transfers: dict[str, str] = {}
        self.renames: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        """Stable ID by namespace id, of every namespace that was ever made and not destroyed."""
        self.lineages = 0

    @initialize(form=st.sampled_from(["auto", "migrations", "exports"]))
    def begin(self, form: str) -> None:
        """Choose the wire form of this history."""
        self.form = form

    # --- cells

    @rule(id_=ids, script=scripts, class_name=classes)
    def run_cell(self, id_: str, script: str, class_name: str) -> None:
        """Declare a namespace, new or as something else than before, without a word about a transfer."""
        if self._free(script, class_name, id_):
            self.declared[id_] = Place(script, class_name)
            self.transfers.pop(id_, None)

    @precondition(lambda self: self.declared)
    @rule()
    def deploy_again(self) -> None:
        """Deploy: half of all rules would else be edits of cells."""
        self.deploy()

    @precondition(lambda self: len(self.declared) > 1)
    @rule(one=ids, two=ids)
    def swap(self, one: str, two: str) -> None:
        """Let two namespaces of one Worker change their class names."""
        if one in self.declared and two in self.declared and self.declared[one].script == self.declared[two].script:
            self.declared[one], self.declared[two] = self.declared[two], self.declared[one]

    @precondition(lambda self: self.owners)
    @rule(id_=ids, script=scripts, class_name=classes)
    def move(self, id_: str, script: str, class_name: str) -> None:
        """Declare a transfer from wherever the namespace is live."""
        live = next((s for s in self.world.account.spaces.values() if self.owners.get(s.id) == id_), None)
        if live and live.script != script and self._free(script, class_name, id_):
            self.declared[id_] = Place(script, class_name)
            self.transfers[id_] = live.script

    @precondition(lambda self: self.declared)
    @rule(old=ids, new=ids)
    def rename_stable_id(self, old: str, new: str) -> None:
        """Declare a namespace under another stable ID, with renamed_from."""
        if old in self.declared and new not in self.declared and new not in self.owners.values():
            self.declared[new] = self.declared.pop(old)
            self.transfers.pop(old, None)
            self.renames = {k: v for k, v in self.renames.items() if k not in {old, new}} | {new: old}

    @precondition(lambda self: len(self.declared) > 2)
    @rule(id_=ids)
    def forget(self, id_: str) -> None:
        """Do not run a cell in this session."""
        self.declared.pop(id_, None)
        self.transfers.pop(id_, None)

    def _free(self, script: str, class_name: str, id_: str) -> bool:
        return not any(i != id_ and (p.script, p.class_name) == (script, class_name) for i, p in self.declared.items())

    # --- deploys

    def _plan(self, *, destroy: tuple[str, ...] = (), protect: bool = True) -> Plan:
        desired = declare(
            self.declared, transfers=self.transfers, destroy=destroy, lifecycle=self.form, protect=protect
        )
        renamed = tuple(self._renamed(n) for n in desired.namespaces)
        plan = self.world.plan(replace(desired, namespaces=renamed))
        assert plan.to_json() == self.world.plan(replace(desired, namespaces=renamed)).to_json()
        return plan

    def _renamed(self, namespace: DesiredNamespace) -> DesiredNamespace:
        old = self.renames.get(namespace.stable_id)
        if old in self.declared:  # the catalog does not let both be declared
            return namespace
        return replace(namespace, renamed_from=StableId(old)) if old else namespace

    @precondition(lambda self: self.declared)
    @rule()
    def deploy(self) -> None:
        """Deploy everything; nothing is left to do, and every declared ID has what it had."""
        plan = self._plan()
        assert not plan.consents
        event("deploy: " + ("+".join(sorted({r.code for r in plan.refusals})) or f"{len(plan.steps)} steps"))
        if plan.refusals:
            assert not plan.steps
            return
        self.world.apply(plan)
        self._learn()
        for stable_id, place in self.declared.items():
            assert self.owners[self.world.account.spaces[place.script, place.class_name].id] == stable_id
        again = self._plan()
        assert again.empty
        assert not again.refusals

    @precondition(lambda self: self.declared)
    @rule(steps=st.integers(1, 4))
    def stop_halfway(self, steps: int) -> None:
        """Deploy some steps only."""
        plan = self._plan()
        if not plan.refusals:
            self.world.apply(replace(plan, steps=plan.steps[:steps]))
            self._learn()

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        """Destroy a namespace with its phrase, its declaration lifting the protection."""
        id_ = data.draw(st.sampled_from(sorted(set(self.owners.values()))))
        place = self.declared.pop(id_, None)
        unprotected = tuple(
            replace(n, protected=n.protected and n.stable_id != id_) for n in self.world.recorded.namespaces
        )
        before = self.world.recorded
        self.world.recorded = replace(before, namespaces=unprotected)
        plan = self._plan(destroy=(id_,))
        event("destroy: " + ("+".join(sorted({r.code for r in plan.refusals})) or f"{len(plan.consents)} consents"))
        if plan.refusals:
            self.world.recorded = before
            if place:
                self.declared[id_] = place
            return
        for consent in plan.consents:
            assert self.owners.pop(consent.namespace_id) == id_
        self.world.apply(plan)
        self._learn()

    def _learn(self) -> None:
        """Note who owns what: new namespaces, and stable IDs that were renamed by declaration."""
        for stable_id, namespace_id in self.world.identities().items():
            before = self.owners.get(namespace_id)
            assert before in {None, stable_id, self.renames.get(stable_id)}
            if before is None:
                assert stable_id not in self.owners.values(), "a stable ID that is live began anew"
            self.owners[namespace_id] = stable_id

    # --- the world outside

    @precondition(lambda self: self.owners)
    @rule()
    def lose_the_state_file(self) -> None:
        """Only what is live remains."""
        self.lineages += 1
        self.world.recorded = Recorded(lineage=f"{self.lineages:032x}")

    @precondition(lambda self: self.world.account.scripts)
    @rule(script=scripts)
    def edit_a_binding(self, script: str) -> None:
        """Somebody removes the bindings of a Worker in the dashboard."""
        live = self.world.account.scripts.get(script)
        if live:
            live.bindings = frozenset()

    @precondition(lambda self: self.world.account.scripts)
    @rule(script=scripts)
    def replace_the_code(self, script: str) -> None:
        """Somebody uploads the same classes with other code."""
        live = self.world.account.scripts.get(script)
        if live:
            live.uploads += 1

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every namespace that was made is live, unless it was destroyed by its phrase."""
        assert {s.id for s in self.world.account.spaces.values()} == set(self.owners)


TestHistories = Notebook.TestCase
TestHistories.settings = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class LongNotebook(Notebook):
    """The same for longer."""


@pytest.mark.exhaustive
class TestLongHistories(LongNotebook.TestCase):
    """Many long histories."""

    settings = settings(max_examples=20_000, stateful_step_count=60, suppress_health_check=list(HealthCheck))
