"""Random histories of a notebook on the local Cloudflare: the real session, deployer, server and workerd.

Every namespace is written to as soon as it lives; after each deploy each declared one must give its own value back, by
its own class, and the next plan must be empty.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from plan_world import Configuration, Place

import notebook_do as nd
import notebook_do.sessions.opening as session_module
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from notebook_do.model import Namespace

IDS, SCRIPTS, CLASSES = ("a", "b", "c"), ("w1", "w2"), ("A", "B", "C")
ids, scripts, classes = st.sampled_from(IDS), st.sampled_from(SCRIPTS), st.sampled_from(CLASSES)


def source(classes_: dict[str, str]) -> str:
    """Write a Worker whose classes answer with their stable ID and the first value they were given."""
    lines = ['import { DurableObject } from "cloudflare:workers";']
    lines += [
        f"export class {name} extends DurableObject {{ async first(value) {{\n"
        '  const first = (await this.ctx.storage.get("first")) ?? value;\n'
        '  await this.ctx.storage.put("first", first);\n'
        f"  return `{stable_id}:${{first}}`;\n}} }}"
        for name, stable_id in sorted(classes_.items())
    ]
    lines.append(
        "export default { async fetch(request, env) {\n"
        '  const [, binding, value] = new URL(request.url).pathname.split("/");\n'
        '  return new Response(await env[binding].getByName("one").first(value));\n} };'
    )
    return "\n".join(lines)


class RealNotebook(RuleBasedStateMachine):
    """One notebook and one local Cloudflare."""

    def __init__(self) -> None:
        super().__init__()
        self.home, self.came_from = Path(tempfile.mkdtemp(prefix="nd-")), Path.cwd()
        os.environ["NOTEBOOK_DO_DATA"] = str(self.home / "local-data")
        os.chdir(self.home)
        self.session = nd.session("app")
        self.declared: Configuration = {}
        self.transfers: dict[str, str] = {}
        self.values: dict[str, str] = {}
        """What each stable ID's object holds."""

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.session.close()
        session_module._current = None
        launch.stop(self.home / "local-data")
        os.chdir(self.came_from)
        del os.environ["NOTEBOOK_DO_DATA"]
        shutil.rmtree(self.home)

    @initialize(form=st.sampled_from(["auto", "migrations"]), first=classes, second=classes)
    def begin(self, form: str, first: str, second: str) -> None:
        """Choose the wire form and deploy something."""
        self.form = form
        self.declared["a"] = Place("w1", first)
        self.declared["b"] = Place("w2" if first == second else "w1", second)
        self.deploy()

    @rule(id_=ids, script=scripts, class_name=classes, transfer=st.booleans())
    def run_cell(self, id_: str, script: str, class_name: str, *, transfer: bool) -> None:
        """Declare a namespace, new or as something else than before."""
        taken = {(p.script, p.class_name) for i, p in self.declared.items() if i != id_}
        if (script, class_name) in taken:
            return
        recorded = {n.stable_id: n.script_name for n in self.session.recorded().namespaces}
        self.declared[id_] = Place(script, class_name)
        self.transfers.pop(id_, None)
        if transfer and recorded.get(id_, f"{script}-dev") != f"{script}-dev":  # type: ignore[call-overload]
            self.transfers[id_] = recorded[id_]  # type: ignore[index]

    @precondition(lambda self: len(self.declared) > 1)
    @rule(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        """Let two namespaces change places where they are on one Worker."""
        one, two = data.draw(st.permutations(sorted(self.declared)))[:2]
        if self.declared[one].script == self.declared[two].script:
            self.declared[one], self.declared[two] = self.declared[two], self.declared[one]

    @precondition(lambda self: len(self.declared) > 2)
    @rule(id_=ids)
    def forget(self, id_: str) -> None:
        """Do not run a cell in this session."""
        self.declared.pop(id_, None)

    @rule()
    def lose_the_state_file(self) -> None:
        """Open the session again without what it wrote."""
        shutil.rmtree(self.session.state_path.parent, ignore_errors=True)
        self.restart_the_kernel()

    @rule()
    def lose_the_state_file_and_import(self) -> None:
        """Adopt all that is live, without what was written: nothing is left to do."""
        self.lose_the_state_file()
        self.session.import_(from_account=True)
        assert self.session.plan().empty
        self.lose_the_state_file()

    @rule()
    def restart_the_kernel(self) -> None:
        """Open the session again, as a new kernel does."""
        self.session.close()
        session_module._current = None
        self.session = nd.session("app")

    @rule()
    def deploy(self) -> None:
        """Deploy what is declared; all of it works on with its data, and nothing is left to do."""
        self._declare()
        plan = self.session.plan()
        assert not plan.consents
        if plan.refusals:
            assert not plan.steps
            return
        if plan.steps:
            self.session.deploy(plan)
        for stable_id, place in self.declared.items():
            answer = self.session.fetch(place.script, f"/{stable_id.upper()}/{len(self.values)}").text
            known = self.values.setdefault(stable_id, f"{stable_id}:{len(self.values)}")
            assert answer == known
        again = self.session.plan()
        assert [s.summary for s in again.steps] == []
        assert [r.message for r in again.refusals] == []
        assert [c.detail for c in again.drift] == []

    def _declare(self) -> None:
        catalog = self.session.catalog
        for id_ in list(catalog.namespaces):
            catalog.forget("namespace", id_)
        namespaces: dict[str, Namespace] = {
            i: nd.DurableObjectNamespace(
                i, class_name=p.class_name, script_name=p.script, transferred_from=self.transfers.get(i)
            )
            for i, p in self.declared.items()
        }
        for script in SCRIPTS:
            mine = {p.class_name: i for i, p in self.declared.items() if p.script == script}
            bound = {i.upper(): namespaces[i] for i in self.declared if i in mine.values() or script == "w1"}
            nd.Worker(script, script=source(mine), bindings=bound, lifecycle=self.form)  # type: ignore[arg-type]


TestRealHistories = RealNotebook.TestCase
TestRealHistories.settings = settings(
    max_examples=max(2, settings.default.max_examples // 50),
    stateful_step_count=10,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class LongRealNotebook(RealNotebook):
    """The same for longer."""


@pytest.mark.exhaustive
class TestLongRealHistories(LongRealNotebook.TestCase):
    """More and longer histories."""

    settings = settings(
        max_examples=200,
        stateful_step_count=25,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
