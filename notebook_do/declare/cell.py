"""Turns one `%durable` line, or `%%durable` line and body, into declarations. Sends and runs nothing.

Errors name the cell's line; line 1 is the line of the magic itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from notebook_do.declare.line import split_line
from notebook_do.declare.making import Kind, check, here, missing, namespace_of, worker_of
from notebook_do.declare.options import option_of, read_declaration, settings_of, values_of
from notebook_do.declare.tables import parse_tables
from notebook_do.errors import CommandError, DurableError, nearest
from notebook_do.model import Declaration, Namespace, Where, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_cell(
    line: str, body: str | None, *, where: Where | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Declaration, ...]:
    """Read `namespace ID ...`, `worker ID ...` with its body, or (empty line) a TOML body.

    `line` is what stands behind `%durable`. `values` replaces `${py:NAME}` inside TOML values. Raises CommandError
    for a line that cannot be read and DeclarationError for a declaration that cannot be right.
    """
    place = where or Where(first=" ".join(("%durable" if body is None else "%%durable", *line.split()[:2])))
    try:
        return _parse(line, body, place, values or {})
    except DurableError as error:
        # Inside, line 1 is the line of the magic; a person counts from the top of the cell.
        if isinstance(error, CommandError) and error.line is not None:
            error.line += place.line - 1
        error.cell = error.cell or here(place)
        raise


def _parse(line: str, body: str | None, place: Where, values: Mapping[str, Any]) -> tuple[Declaration, ...]:
    try:
        words = split_line(line)
    except ValueError as error:
        said = f"cannot read the line: {str(error).lower()}; close the quote or escape it."
        raise CommandError(said, line=1) from None
    if not words:
        if body is None:
            raise CommandError(
                "nothing to declare; write %durable namespace ID --class NAME, or a cell with %%durable."
            )
        return parse_tables(body, where=replace(place, form="toml"), values=values)
    verb, *rest = words
    declared: Declaration
    match verb:
        case "namespace":
            if body is not None and body.strip():
                raise CommandError("namespace takes no body; write %durable namespace on one line.", line=2)
            declared = _namespace(rest, place)
        case "worker":
            # The body begins one line below the magic; its lines are counted as lines of the cell.
            declared = _worker(rest, body, replace(place, body_line=place.line + 1))
        case _:
            raise CommandError(f"{verb} declares nothing; {nearest(verb, get_args(Kind))}", line=1)
    check(declared)
    return (declared,)


def _namespace(rest: list[str], where: Where) -> Namespace:
    id_, words = read_declaration("namespace", rest)
    given = values_of("namespace", id_, words)
    if lacking := missing("namespace", given):
        option = option_of("namespace", lacking)
        raise CommandError(f"namespace {id_}: {option} is missing; name the class that it runs.", line=1)
    return namespace_of(id_, given, where)


def _worker(rest: list[str], body: str | None, where: Where) -> Worker:
    id_, words = read_declaration("worker", rest)
    given = values_of("worker", id_, words)
    has_body = body is not None and bool(body.strip())
    if "entrypoint" not in given and not has_body:
        raise CommandError(f"worker {id_}: the cell has no body; write the source below, or --entrypoint FILE.", line=1)
    if "entrypoint" in given and has_body:
        raise CommandError(f"worker {id_}: --entrypoint and a body are given; keep one of them.", line=2)
    source = {} if "entrypoint" in given else {"script": body}
    return worker_of(id_, given | source, where, settings=settings_of(id_, words))
