"""A new field and a new binding type are a few lines in at most five files: made-up ones are put into a copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import notebook_do

PACKAGE = Path(notebook_do.__file__).parent
FIELD = {
    "model/worker.py": (
        '    _setting("logpush", "switch", off=False),\n',
        '    _setting("hints", "switch", off=False, label="Hints"),\n',
    ),
    "sessions/declaring.py": (
        "        logpush: bool | None = None,\n",
        "        hints: bool | None = None,\n",
    ),
}
BINDING = {
    "model/bindings.py": (
        '    BindingType("messaging"',
        (
            '    BindingType("pad", "teleporter", "Pad", "TeleporterPad", toml="pad", required=_texts("pad_id"), '
            'wrangler=_list("pads", "pad_id"), not_local="a teleporter"),\n'
        ),
    ),
    "model/resources.py": (
        "def KV(",
        'def Pad(pad_id: str) -> Resource:\n    return _resource("pad", pad_id=pad_id)\n\n\n',
    ),
    "model/__init__.py": ("    SendEmail,\n    Service,", "    Pad,\n"),
    "__init__.py": ('    "Pipeline",\n', '    "Pad",\n'),
}
SCRIPT = """
import json, os
import notebook_do as nd
from notebook_do.cloudflare.settings import decode_options, decode_carried
from notebook_do.cloudflare.wire import decode_binding, encode_upload
from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.declare.options import line_of
from notebook_do.interchange.cells import import_cells
from notebook_do.interchange.typescript import env_types
from notebook_do.interchange.wrangler import wrangler_files
from notebook_do.model import Module, Observed, ObservedScript, Recorded
from notebook_do.notebook.completion import complete
from notebook_do.notebook.widgets.drafts import Draft
from notebook_do.notebook.widgets.forms import Form
from notebook_do.plan.build import build_plan
from notebook_do.sources.bundle import reader

S = "export default {}"
EMPTY = Observed(account_id="a" * 32, api_origin="http://127.0.0.1")
NEW = Recorded(lineage="f" * 32)

def desired(item):
    catalog = Catalog()
    catalog.declare(item)
    return catalog.desired("s", "production", read=reader())

def planned(item, observed=EMPTY):
    return build_plan(desired(item), NEW, observed, target="local", default_compatibility_date="2026-01-01")

def said(make):
    try:
        make()
    except nd.DurableError as error:
        return str(error)

def toml(text):
    return parse_cell("", "[workers.w]\\nscript = '%s'\\n%s\\n" % (S, text))[0]

def live(item):
    (step,) = [s for s in planned(item).steps if hasattr(s, "modules")]
    metadata = json.loads(encode_upload(step, op="o").metadata.open())
    raw = {k: v for k, v in metadata.items() if k != "bindings"}
    script = ObservedScript(
        name="w", etag="e", lifecycle="exports", url=True, previews=False, crons=(),
        bindings=tuple(decode_binding(b, "w") for b in metadata["bindings"]),
        options=decode_options(raw, []), carried=decode_carried(raw, []),
    )
    return metadata, Observed(account_id="a" * 32, api_origin="http://127.0.0.1", scripts=(script,))

def imported(observed, *more):
    modules = (Module(name="index.js", content=S.encode()), *more)
    return import_cells(observed, ["w"], {"w": modules})
"""
ASKED = {
    "field": """
on, off = nd.Worker("w", script=S, hints=True), nd.Worker("w", script=S)
metadata, there = live(on)
found = imported(there)
(config,) = [v for k, v in wrangler_files(desired(on), NEW, EMPTY).items() if k.endswith("jsonc")]
print(json.dumps({
    "toml": toml("hints = true") == on,
    "line": parse_cell("worker w --setting hints=true", S)[0] == on,
    "written": line_of("worker", on),
    "wrong in Python": said(lambda: nd.Worker("w", script=S, hints="no")),
    "wrong in TOML": said(lambda: toml("hints = 'no'")),
    "wrong on the line": said(lambda: parse_cell("worker w --setting hints=3", S)),
    "misspelt": said(lambda: nd.Worker("w", script=S, hint=True)),
    "completed": complete("%%durable\\n[workers.w]\\nhin", "hin", in_body=True)[1],
    "values": complete("%%durable\\n[workers.w]\\nhints = ", "hints = ", in_body=True)[1],
    "sent": metadata["hints"],
    "changes": [(c.kind, c.field, c.after) for c in planned(on, live(off)[1]).changes if c.field == "hints"],
    "cell": found.cells[0].splitlines()[0],
    "imported": found.declarations[0].options.value,
    "Python cell": "    hints=True," in imported(there, Module(name="a.js", content=b"1")).cells[0].splitlines(),
    "wrangler": json.loads(config)["hints"],
    "form": Form(nd.session("s"), Draft.of(on)).inputs["hints"].value,
    "its cell": Draft.new("worker", id="w", script=S, hints=True).cell().splitlines()[0],
    "of its cell": Draft.of(on).declaration() == (on,),
}))
""",
    "binding type": """
item = nd.Worker("w", script=S, bindings={"B": nd.Pad("p1")})
metadata, there = live(item)
found = imported(there)
(config,) = [v for k, v in wrangler_files(desired(item), NEW, EMPTY).items() if k.endswith("jsonc")]
print(json.dumps({
    "toml": toml('bindings.B = {pad = "p1"}') == item,
    "by type": toml('bindings.B = {type = "pad", pad_id = "p1"}') == item,
    "wrong": said(lambda: toml('bindings.B = {type = "pad"}')),
    "misspelt": said(lambda: toml('bindings.B = {pat = "p1"}')),
    "completed": complete("%%durable\\n[workers.w.bindings]\\nB = {pa", "B = {pa", in_body=True)[1],
    "sent": metadata["bindings"],
    "said": [c.after for c in planned(item).changes if c.kind == "binding"],
    "imported": found.declarations[0].bindings["B"] == item.bindings["B"],
    "known": found.notes == (),
    "types": [line for line in env_types(desired(item).workers[0]).splitlines() if "B:" in line],
    "wrangler": json.loads(config)["pads"],
}))
""",
}
EXPECTED: dict[str, dict[str, Any]] = {
    "field": {
        "toml": True,
        "line": True,
        "written": "worker w --setting hints=true",
        "wrong in Python": "Worker w: hints must be true or false, not 'no'.",
        "wrong in TOML": "line 4: worker w: hints must be true or false, not 'no'.",
        "wrong on the line": "line 1: Worker w: hints must be true or false, not 3.",
        "misspelt": "Worker w: unknown keyword hint; did you mean hints?",
        "completed": ["hints"],
        "values": ["true", "false"],
        "sent": True,
        "changes": [["setting", "hints", "true"]],
        "cell": "%%durable worker w --name w --setting hints=true",
        "imported": {"hints": True},
        "Python cell": True,
        "wrangler": True,
        "form": True,
        "its cell": "%%durable worker w --setting hints=true",
        "of its cell": True,
    },
    "binding type": {
        "toml": True,
        "by type": True,
        "wrong": "line 2: Worker w: binding B: type pad needs pad_id.",
        "misspelt": "line 4: worker w: binding B: pat is no kind of binding; did you mean pad?",
        "completed": ["pad"],
        "sent": [{"pad_id": "p1", "name": "B", "type": "pad"}],
        "said": ["teleporter p1"],
        "imported": True,
        "known": True,
        "types": ["    B: TeleporterPad;"],
        "wrangler": [{"binding": "B", "pad_id": "p1"}],
    },
}


@pytest.mark.thorough
@pytest.mark.parametrize(("what", "edits"), [("field", FIELD), ("binding type", BINDING)], ids=["field", "type"])
def test_a_made_up_one_is_known_everywhere(what: str, edits: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    """Python, TOML, line, completion, forms, errors, upload, comparison, import, types and wrangler follow the row."""
    assert len(edits) <= 5
    copy = tmp_path / "notebook_do"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "local"))
    for name, (before, added) in edits.items():
        text = (copy / name).read_text()
        assert text.count(before) == 1, (name, before)
        (copy / name).write_text(text.replace(before, added + before))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + ASKED[what]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED[what]
