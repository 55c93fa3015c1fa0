"""A project that wants something and gets there: recover, plan with the real planner, deploy; as a person would."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.credentials.vault import Vault, load_key
from notebook_do.declare.catalog import Catalog
from notebook_do.deploy.recover import recover, undecided
from notebook_do.deploy.run import deploy
from notebook_do.live.observe import observe
from notebook_do.model import Bindings, Namespace, NamespaceBinding, Secret, StableId, ValueBinding, Worker
from notebook_do.plan.build import build_plan
from notebook_do.plan.workers.triggers import triggers_concerned
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.deploy.result import DeployResult
    from notebook_do.model import Desired
    from notebook_do.model.states import SecretReading
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile


def source_of(classes: tuple[str, ...], note: str = "") -> str:
    """Write a Worker that exports `classes`; a request to /BINDING counts in that namespace's object and answers it."""
    bodies = "\n".join(
        f"""export class {c} extends DurableObject {{
  async fetch() {{
    const count = (await this.ctx.storage.get('count') ?? 0) + 1
    await this.ctx.storage.put('count', count)
    return new Response(String(count))
  }}
}}"""
        for c in classes
    )
    return f"""import {{ DurableObject }} from 'cloudflare:workers'
{bodies}
export default {{
  async fetch(request, env) {{
    const space = env[new URL(request.url).pathname.slice(1)]
    return space ? space.get(space.idFromName('x')).fetch(request) : new Response('ok {note}')
  }},
  scheduled() {{}},
}}
"""


def worker_of(
    id_: str, classes: Mapping[str, str], *, note: str = "", uses: tuple[str, ...] = (), **options: Any
) -> tuple[Any, ...]:
    """Declare a Worker with its classes by stable ID; `uses` are namespaces of other Workers, `secret` a variable."""
    spaces = tuple(
        Namespace(StableId(s), class_name=c, script_name=f"{id_}", protect=False) for s, c in classes.items()
    )
    bound: dict[str, Any] = {s.upper(): NamespaceBinding(stable_id=StableId(s)) for s in (*classes, *uses)}
    if secret := options.pop("secret", None):
        bound["SECRET"] = Secret.from_env(secret)
    worker = Worker(
        id_, name=id_, script=source_of(tuple(classes.values()), note), bindings=Bindings(id_, bound), **options
    )
    return (*spaces, worker)


DAYS = itertools.count(86_400, 86_400)
"""When the person of each project sits down: each a day after the one before."""


@dataclass
class Project:
    """What is declared, the state file, and how a client is made."""

    state: StateFile
    client: Callable[[], Client]
    declared: tuple[Any, ...] = ()
    destroy: tuple[str, ...] = ()
    found: list[Any] = field(default_factory=list)
    time: float = field(default_factory=lambda: float(next(DAYS)))
    patience: float = 660.0
    """Seconds that pass before each plan: as a rule, longer than what was sent before can still be carried out."""

    async def plan(self) -> Plan:
        """Recover and plan, as a session does."""
        async with self.client() as client:
            self.time += self.patience
            found = await recover(client=client, state=self.state, now=lambda: self.time)
            self.found += found
            recorded = self.state.load(account_id=client.account_id, api_origin=client.origin)
            catalog = Catalog()
            catalog.declare(*self.declared)
            desired = catalog.desired("p", "production", read=reader(), destroy=self.destroy)
            scripts = {w.script_name for w in (*desired.workers, *recorded.workers)}
            triggers = triggers_concerned(desired, recorded)
            observed = await observe(client, scripts=sorted(scripts), settings=True, triggers=triggers)
        return build_plan(
            desired,
            recorded,
            observed,
            target="cloudflare",
            default_compatibility_date="2026-01-01",
            secret_readings=self.secret_readings(desired, recorded.lineage),
            undecided=undecided(found),
            own=self.state.journal.ops(),
        )

    def secret_readings(self, desired: Desired, lineage: str) -> dict[tuple[str, str], SecretReading]:
        """Look at the secrets, as a session does."""
        vault, key = Vault(), load_key(lineage) or bytes(32)
        return {
            (w.script_name, b.name): vault.look(b.value, key, w.script_name, b.name)
            for w in desired.workers
            for b in w.bindings
            if isinstance(b, ValueBinding) and isinstance(b.value, Secret)
        }

    async def deploy(self, plan: Plan, **options: Any) -> DeployResult:
        """Deploy with every consent given."""
        async with self.client() as client:
            phrases = [c.phrase for c in plan.consents]
            now = lambda: self.time  # noqa: E731 - a clock
            return await deploy(plan, client=client, state=self.state, confirm=phrases, now=now, **options)

    async def run(self) -> DeployResult:
        """Plan and deploy."""
        return await self.deploy(await self.plan())
