"""Live settings as they are read: what is not at its default, and what an upload has to repeat."""

from __future__ import annotations

from typing import Any

from notebook_do.cloudflare.settings import decode_carried, decode_options

STRATEGY = {"mode": "immediate", "max_delay": None}
DEPLOYMENTS: list[Any] = [{"code_update_strategy": STRATEGY}, {"code_update_strategy": {"mode": "deferred"}}]
LIVE: dict[str, Any] = {
    "bindings": [],
    "compatibility_date": "2026-01-01",
    "compatibility_flags": ["nodejs_compat"],
    "annotations": {"workers/message": "m"},
    "tags": ["t"],
    "usage_model": "standard",
    "migration_tag": "v1",
    "exports": {"A": {"type": "worker"}},
    "limits": {"cpu_ms": 5, "subrequests": None},
    "placement": {
        "mode": "targeted",
        "target": [{"region": "aws:eu-west-1"}],
        "status": "SUCCESS",
        "last_analyzed_at": "2026-11-01T00:00:00Z",
    },
    "observability": {"enabled": False, "head_sampling_rate": None},
    "logpush": False,
    "tail_consumers": None,
    "smart_thing": {"kind": "new"},
}


def test_an_upload_repeats_every_setting_known_or_not() -> None:
    """What is switched off is repeated too, where it says so; what tells only what is live is not."""
    assert decode_carried(LIVE, DEPLOYMENTS).value == {
        "limits": {"cpu_ms": 5},
        "placement": {"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]},
        "observability": {"enabled": False},
        "smart_thing": {"kind": "new"},
        "code_update_strategy": {"mode": "immediate"},
    }


def test_options_are_what_is_not_at_its_default() -> None:
    """A targeted placement keeps its list of targets; the strategy is the newest deployment's."""
    assert decode_options(LIVE, DEPLOYMENTS).value == {
        "limits": {"cpu_ms": 5},
        "placement": {"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]},
        "code_update_strategy": {"mode": "immediate"},
    }
    assert decode_options(LIVE, [{"code_update_strategy": {"mode": "deferred", "max_delay": 300}}]).value == {
        "limits": {"cpu_ms": 5},
        "placement": {"mode": "targeted", "target": [{"region": "aws:eu-west-1"}]},
    }
    assert "code_update_strategy" not in decode_carried(LIVE, [None]).value
