"""What a plan says of what is not served where it is deployed, word by word; tests/test_unserved.py has the rest."""

from __future__ import annotations

import pytest

from notebook_do.plan.sentences import say

USE = "AI (Workers AI)"
SAID = {
    ("unserved", "one"): (
        "Worker api-dev: this binding is not served locally: the Worker runs, and each use throws an error that says "
        "so; deploy to Cloudflare to use AI (Workers AI)."
    ),
    ("unserved", "several"): (
        "Worker api-dev: these bindings are not served locally: the Worker runs, and each use throws an error that "
        "says so; deploy to Cloudflare to use AI (Workers AI)."
    ),
    ("containers", "local"): (
        "Worker api-dev: AI (Workers AI) runs here without a container, ctx.container is undefined: its image runs on "
        "Cloudflare only, where wrangler builds and pushes it; deploy this Worker with wrangler to use it."
    ),
    ("containers", "cloudflare"): (
        "Worker api-dev: AI (Workers AI) has a container, which only wrangler deploys, as it builds and pushes the "
        "image: this plan sends the code alone, and what that makes of a live container is not known; deploy this "
        "Worker with wrangler."
    ),
}


@pytest.mark.parametrize(("name", "reason"), SAID)
def test_a_worker_that_lacks_something_is_named_with_what_to_do(name: str, reason: str) -> None:
    """The Worker, what it lacks, what that means where it is deployed, and where it would run whole."""
    assert say(name, reason, script="api-dev", names=USE) == SAID[name, reason]
