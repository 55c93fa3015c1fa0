"""Reads the text of one wrangler configuration into a table, and what it says of one environment of the project.

`wrangler.json` is as `wrangler.jsonc`: comments and a comma behind the last item are allowed, a key that is there twice
is not. wrangler 4.164 takes the later of two values without a word; here nobody knows which is meant.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from notebook_do.errors import CommandError, nearest
from notebook_do.state.strict import Damage, parse

Config = Mapping[str, Any]

_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/|/\*", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)

INHERITED = frozenset(
    {
        *(
            "account_id",
            "compatibility_date",
            "compatibility_flags",
            "jsx_factory",
            "jsx_fragment",
            "tsconfig",
            "rules",
        ),
        *("name", "main", "find_additional_modules", "preserve_file_names", "base_dir", "route", "routes", "triggers"),
        *("assets", "limits", "placement", "build", "workers_dev", "preview_urls", "migrations", "exports", "logfwdr"),
        *("no_bundle", "minify", "keep_names", "first_party_worker", "logpush", "upload_source_maps", "observability"),
        *("access", "cache", "compliance_region", "python_modules", "previews"),
    }
)
"""What an environment takes from the top level where it does not say it itself (wrangler 4.164, `inheritable`)."""
TOP_LEVEL = frozenset(
    {
        *("$schema", "send_metrics", "dependencies_instrumentation", "keep_vars", "addresses", "dev", "site", "alias"),
        *("pages_build_output_dir", "wasm_modules", "text_blobs", "data_blobs"),
    }
)
"""What stands at the top level only, and holds for every environment."""
GENERATED = frozenset({"configPath", "userConfigPath", "topLevelName", "definedEnvironments", "targetEnvironment"})
"""What a build tool writes besides into a configuration that it generates."""


def read_configuration(place: str, content: bytes) -> dict[str, Any]:
    """Return what a configuration says; `place` is its path, whose ending tells the language.

    Raises CommandError with line and column for what cannot be read.
    """
    try:
        found = _toml(content) if place.endswith(".toml") else parse(plain_json(content.decode("utf-8-sig")).encode())
    except (Damage, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{place}: {error}; correct it, then import again.") from None
    if not isinstance(found, dict):
        raise CommandError(f"{place}: it must be one table of settings, not {type(found).__name__}.")
    return found


def plain_json(text: str) -> str:
    """Return JSON with comments as JSON: each comment and each last comma becomes blanks, so that places stay."""
    text = text.replace("\r\n", "\n")
    return _LAST_COMMA.sub(_blank, _COMMENT.sub(_blank, text))


def _blank(found: re.Match[str]) -> str:
    whole = found[0]
    if whole == "/*":
        before = found.string[: found.start()]
        raise Damage(f"a comment is never closed (line {before.count(chr(10)) + 1})")
    return whole if whole.startswith('"') else re.sub(r"[^\n]", " ", whole)


def _toml(content: bytes) -> Any:
    return _texts_for_dates(tomllib.loads(content.decode("utf-8-sig")))


def _texts_for_dates(value: Any) -> Any:
    """Return a TOML value with dates as their texts: `compatibility_date = 2026-06-01` is often without quotes."""
    match value:
        case dict():
            return {key: _texts_for_dates(one) for key, one in value.items()}
        case list():
            return [_texts_for_dates(one) for one in value]
        case date() | time():
            return value.isoformat()
    return value


# --- one environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a project says of one environment; `name` is empty for the top level.

    `top` is the Worker's name at the top level, `script` its script name. `others` are the environments that the
    project has besides; `not_inherited` the keys of the top level that this one does not say and does not inherit.
    """

    name: str
    top: str
    script: str
    config: Config
    others: tuple[str, ...] = ()
    not_inherited: tuple[str, ...] = ()


def environment_of(place: str, raw: Config, name: str = "") -> Environment:
    """Return the top level, or the environment `name`, by the rules of wrangler 4.164.

    A name that the environment does not say is the top level's with `-NAME` behind it. Raises CommandError for a Worker
    without a name, and for an environment that is not there.
    """
    known = raw.get("env") or {}
    if not isinstance(known, dict) or not all(isinstance(one, dict) for one in known.values()):
        raise CommandError(f"{place}: env must be a table of environments, each a table.")
    own = {key: value for key, value in raw.items() if key != "env" and key not in GENERATED}
    top = raw.get("topLevelName") or raw.get("name")
    if built := raw.get("targetEnvironment"):  # a build tool has chosen already, and named the Worker by it
        _check_target(place, built, name)
        return Environment(name=str(built), top=_name(place, top), script=_name(place, raw.get("name")), config=own)
    if not name:
        script = _name(place, raw.get("name"))
        return Environment(name="", top=_name(place, top), script=script, config=own, others=tuple(known))
    if name not in known:
        hint = nearest(name, list(known)) if known else "it has no environments; leave out --env."
        raise CommandError(f"{place}: there is no environment {name}; {hint}")
    said = {key: value for key, value in known[name].items() if value is not None}
    taken = {key: value for key, value in own.items() if key in INHERITED | TOP_LEVEL and value is not None}
    script = _name(place, said.get("name") or (raw.get("name") and f"{raw['name']}-{name}"))
    return Environment(
        name=name,
        top=_name(place, top or script),
        script=script,
        config={**taken, **said},
        others=("the top level", *(other for other in known if other != name)),
        not_inherited=tuple(sorted(key for key in own.keys() - taken.keys() - said.keys() if own[key])),
    )


def _check_target(place: str, built: Any, asked: str) -> None:
    if asked and asked != built:
        raise CommandError(f"{place}: it was built for environment {built}; build it for {asked}, then import again.")


def _name(place: str, given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise CommandError(f"{place}: the Worker has no name; write `name`, then import again.")
    return given
