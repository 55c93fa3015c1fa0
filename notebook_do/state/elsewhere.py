"""Says of a state file that was deployed to another place than the session of now what happened, and both ways on."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from notebook_do.display.formats import short_account

LOCAL_ORIGIN = "local:"
_OTHER_FILE = "open a session with another name, stage or --state PATH."


class Place(NamedTuple):
    """The account and the API that a state file, or a session, is on; None where that is not known."""

    account: str | None
    origin: str | None

    @property
    def is_local(self) -> bool:
        """Say whether it is a Cloudflare on this machine."""
        return (self.origin or "").startswith(LOCAL_ORIGIN)

    @property
    def words(self) -> str:
        """Return what a person calls it."""
        account = f"account {short_account(self.account)}" if self.account else ""
        if self.is_local:
            return f"the local Cloudflare{f' ({account})' if account else ''}"
        return " at ".join(filter(None, (account, self.origin)))


def elsewhere(path: str, was: Place, now: Place) -> str:
    """Return in a line that the file at `path` was deployed to another place, and how to go on there or begin here."""
    name, stage = _session_of(path)
    begin = f"To begin anew here: {_opening(f'{name}-2', stage, now) if name else _OTHER_FILE}"
    if was.is_local and now.is_local:
        return (
            f"{path} was deployed to another local Cloudflare than the one that runs now: the data of the two are in "
            "two directories. To go on with what was deployed: set NOTEBOOK_DO_DATA to the directory of its data "
            f"(unset: the default one) and restart the kernel. {begin}"
        )
    back = _opening(name, stage, was) if name else "open the session on that target and account."
    return f"{path} was deployed to {was.words}, and this session is on {now.words}. To go on there: {back} {begin}"


def _session_of(path: str) -> tuple[str, str]:
    """Return the session and the stage of a file that has its usual place, as `.notebook_do/shop/dev/state.json`."""
    home, name, stage, file = (("",) * 4 + PurePath(path).parts)[-4:]
    return (name, stage) if (home, file) == (".notebook_do", "state.json") else ("", "")


def _opening(name: str, stage: str, place: Place) -> str:
    local = place.is_local or not place.origin
    account = "" if local or not place.account else f" --account {place.account}"
    return f"`%durable session {name} --stage {stage} --target {'local' if local else 'cloudflare'}{account}`."
