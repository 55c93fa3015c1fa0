"""The one place of these tests that names what is inside the package. After a move, adapt this file and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["digest_of", "launch", "planned_codes"]

ORIGIN = "http://127.0.0.1:1"
CODE = re.compile(r"[a-z]+(-[a-z]+)*")


def digest_of(plan: Any) -> str:
    """Give the digest of a plan as if the account's address, which is a free port here, were always the same."""
    return str(replace(plan, baseline=replace(plan.baseline, api_origin=ORIGIN)).digest)


def planned_codes(root: Path) -> set[str]:
    """Find the codes that a plan can be refused with, in the source.

    They stand as the first words of calls of `refuse` below plan/, and, once there is one table of them, as the keys or
    the codes of what a module below plan/ that is named after refusals holds.
    """
    found: set[str] = set()
    for path in sorted((root / "plan").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="refuse") | ast.Name(id="refuse"), args=[first, *_]):
                    found |= _words(first)
                case ast.Dict(keys=keys) if "refus" in path.stem:
                    found |= {word for key in keys if key is not None for word in _words(key)}
                case ast.Call(args=args, keywords=keywords) if "refus" in path.stem:
                    named = [k.value for k in keywords if k.arg == "code"]
                    found |= {word for one in (*args[:1], *named) for word in _words(one)}
    return {word for word in found if CODE.fullmatch(word)}


def _words(node: ast.AST) -> set[str]:
    return {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
