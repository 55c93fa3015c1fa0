"""What a bundle can be asked for, from the files on the disk to the answer of the deployed Worker on real workerd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundled_programs import PROGRAMS

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path


def test_every_program_answers_as_it_should(cloud: Path) -> None:
    """Each of the programs, which wrangler bundles to the same answers, is deployed and asked."""
    session = nd.session("app")
    for program in PROGRAMS:
        program.write(cloud / program.name)
        nd.Worker(
            program.name,
            entrypoint=f"{program.name}/{program.entrypoint}",
            compatibility_date=program.date,
            **{name: _below(program.name, name, value) for name, value in program.fields.items()},
        )
    plan = session.plan()
    assert not plan.refusals, plan
    result = session.deploy(plan)
    answers = {program.name: result[program.name].fetch("/") for program in PROGRAMS}
    found = {name: answer.json() if answer.is_success else answer.text for name, answer in answers.items()}
    assert found == {program.name: program.answer for program in PROGRAMS}


def _below(folder: str, name: str, value: object) -> object:
    """Return a field whose paths start at the folder of the program, and not at that of the notebook."""
    if name == "tsconfig":
        return f"{folder}/{value}"
    if name == "alias" and isinstance(value, dict):
        return {k: f"./{folder}/{v[2:]}" if v.startswith("./") else v for k, v in value.items()}
    return value
