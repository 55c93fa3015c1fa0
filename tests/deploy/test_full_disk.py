"""A disk that is full from any write on: nothing is sent without its intent on the disk, and a rerun ends it."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, client_of
from project import Project, worker_of

from notebook_do.errors import DeployError, DurableError
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

DECLARED = worker_of("host", {"a": "A"}, crons=("0 * * * *",)) + worker_of("guest", {}, uses=("a",), url=False)


class Disk:
    """Fails every `call` from number `room` + 1 on."""

    def __init__(self, patch: pytest.MonkeyPatch, call: str, room: int) -> None:
        self.room, self.used, self.really = room, 0, getattr(os, call)
        patch.setattr(os, call, self)

    def __call__(self, *args: Any) -> Any:
        """Write or sync, while there is room."""
        self.used += 1
        if self.used > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.really(*args)


@pytest.mark.thorough
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_f51_full_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """F51: full at any write or sync, every mutation that arrived is in the journal, and the rerun records it."""
    room = 0
    while True:
        account, state = Account(), StateFile(tmp_path / f"{room}" / "state.json")
        project = Project(state, lambda account=account: client_of(account), DECLARED)
        plan = asyncio.run(project.plan())
        failed: DurableError | None = None
        with monkeypatch.context() as patch:
            disk = Disk(patch, call, room)
            try:
                asyncio.run(project.deploy(plan))
            except DurableError as error:
                failed = error
        if failed is None:
            assert disk.used == room, "the enumeration did not reach the end"
            break
        assert "No space left on device" in str(failed)
        sent = sum(method != "GET" for method, _ in account.log)
        lines = state.journal_path.read_text().splitlines() if state.journal_path.exists() else []
        assert sent <= sum('"is":"intent"' in line for line in lines)
        if isinstance(failed, DeployError):
            done = [o.text for o in failed.result.outcomes if o.status == "done"]
            assert len(done) <= sent
        plan = asyncio.run(project.plan())
        if plan.steps:
            assert asyncio.run(project.deploy(plan)).ok
        assert asyncio.run(project.plan()).steps == ()
        assert len(account.namespaces) == len(account.migrations_applied) == 1
        room += 1
    assert room >= 12


def test_f51_what_happened_is_not_told_as_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F51: when the disk fills up after the upload, the outcome is uncertain and says that it happened."""
    account, state = Account(), StateFile(tmp_path / "p" / "state.json")

    async def full(request: Any, deliver: Any) -> Any:
        response = deliver()
        if request.method == "PUT":
            monkeypatch.setattr(os, "write", Disk(monkeypatch, "write", 0))
        return response

    project = Project(state, lambda: client_of(account, full), worker_of("host", {"a": "A"}))
    plan = asyncio.run(project.plan())
    with pytest.raises(DeployError, match="happened, but could not be recorded") as caught:
        asyncio.run(project.deploy(plan))
    monkeypatch.undo()
    assert [o.status for o in caught.value.result.outcomes] == ["uncertain", "not done", "not done"]
    project.client = lambda: client_of(account)
    assert asyncio.run(project.run()).ok
    assert len(account.migrations_applied) == 1
