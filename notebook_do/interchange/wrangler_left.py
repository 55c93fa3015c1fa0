"""What of a wrangler configuration is not carried: nothing of it is dropped without a line that names it.

A path is written without its places in lists: `kv_namespaces.preview_id`. Keys as in `config-schema.json` of wrangler
4.164; a test walks that schema and asks of each key whether it is carried, listed or refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.model import NOT_CARRIED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OWN = frozenset(
    {
        *("$schema", "dev", "send_metrics", "dependencies_instrumentation", "access"),
        *("build.watch_dir", "upload_source_maps", "unsafe.bindings.dev", "hyperdrive.localConnectionString"),
        *("kv_namespaces.preview_id", "r2_buckets.preview_bucket_name", "r2_buckets.local_dev"),
        *("d1_databases.database_name", "d1_databases.preview_database_id", "d1_databases.database_internal_env"),
        *("d1_databases.migrations_table", "d1_databases.migrations_dir", "d1_databases.migrations_pattern"),
        *("d1_databases.jurisdiction", "legacy_env"),
    }
)
"""What only wrangler's own commands read, or what needs no word here; `remote` of any binding is such as well."""
_WITH_WRANGLER = "deploy this Worker with wrangler where it needs that."
_AS_LIVE = "what is live of it stays, and only wrangler changes it."
INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "addresses": "bind the addresses of inbound email by Email Routing, or with wrangler.",
        "build.upload": "main, rules and base_dir say it since wrangler 2, which does not read it any more.",
        "cloudchamber": NOT_CARRIED["containers"],
        "compliance_region": _WITH_WRANGLER,
        "connect": f"listening sockets cannot be declared; {_WITH_WRANGLER}",
        "containers": NOT_CARRIED["containers"],
        "data_blobs": "import the file in the source instead (a module of type Data).",
        "first_party_worker": _WITH_WRANGLER,
        "jsx_factory": "write jsxFactory in tsconfig.json.",
        "jsx_fragment": "write jsxFragmentFactory in tsconfig.json.",
        "keep_names": "functions keep their names in every bundle.",
        "placement.hint": "a hint cannot be declared; the Worker is placed by its mode alone.",
        "placement.mode": "off is not sent: what is live of placement stays.",
        "previews": "previews of a Worker are made by wrangler.",
        "preserve_file_names": "modules beside the main one are named by their content.",
        "python_modules": "packages of a Python Worker are not uploaded; vendor what it needs beside its source.",
        "queues.consumers.visibility_timeout_ms": "it is of consumers that pull, which are no Workers; leave it out.",
        **{
            f"{key}.{name}": what
            for key in ("route", "routes")
            for name, what in (
                ("zone_id", "the zone is found by the host name of the route."),
                ("zone_name", "the zone is found by the host name of the route, which is not in the named one."),
                ("enabled", _AS_LIVE),
                ("previews_enabled", _AS_LIVE),
            )
        },
        "site": "Workers Sites are not carried: give the directory as assets.",
        "streaming_tail_consumers": _AS_LIVE,
        "text_blobs": "import the file in the source instead (a module of type Text).",
        "triggers.events": _AS_LIVE,
        "unsafe.capnp": _WITH_WRANGLER,
        "unsafe_hello_world": "it is an example of Cloudflare's and binds nothing; leave it out.",
        "usage_model": NOT_CARRIED["usage_model"],
        "wasm_modules": "import the file in the source instead (a module of type CompiledWasm).",
        **{
            f"workflows.{key}": _AS_LIVE
            for key in ("limits", "concurrency", "schedules", "default_retention", "jurisdiction")
        },
    }
)
"""What else is not carried, with what to do."""
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "pages_build_output_dir": "it is a project of Cloudflare Pages, and no Worker; deploy it with wrangler pages.",
    }
)
"""What makes a configuration one that cannot be declared."""
_FALSE_SAYS = frozenset({"keep_names"})
"""Where false is no default."""
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "keep_names": True,
        "jsx_factory": "React.createElement",
        "jsx_fragment": "React.Fragment",
        "python_modules": {"exclude": ["**/*.pyc"]},
    }
)
"""What a build tool writes out though nobody chose it, and what is so here as well."""


@dataclass(slots=True, kw_only=True)
class Left:
    """What was not carried of one Worker's configuration, as it is found."""

    worker: str
    own: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, value: Any) -> None:
        """Note what stands at a path and is not carried; nothing where its value says no more than its absence."""
        if _says_nothing(path, value):
            return
        if path in REFUSED:
            raise CommandError(f"Worker {self.worker}: {path}: {REFUSED[path]}")
        if path in OWN or path.endswith(".remote"):
            self.own += [] if path in self.own else [path]
        elif path in INSTEAD:
            self.listed[path] = INSTEAD[path]
        else:
            self.listed[path] = "it is not known here (it is of a newer wrangler, or misspelt); it was left out."

    def rest(self, path: str, table: Mapping[str, Any], taken: Iterable[str]) -> None:
        """Note what a table has besides the keys that were taken."""
        for key in table.keys() - set(taken):
            self.add(f"{path}.{key}" if path else key, table[key])

    def say(self, path: str, what: str) -> None:
        """Note something else about a path."""
        self.listed[path] = what

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each path that is not carried, and one for all that is wrangler's own."""
        lines = [f"Worker {self.worker}: {path}: {what}" for path, what in sorted(self.listed.items())]
        own = ", ".join(sorted(self.own))
        return (*lines, *([f"Worker {self.worker}: only wrangler itself reads {own}; left out."] if own else []))


def _says_nothing(path: str, value: Any) -> bool:
    if path in _DEFAULTS and value == _DEFAULTS[path]:
        return True
    return value in (None, "", [], {}) or (value is False and path not in _FALSE_SAYS)
