"""The suite for a live account, run against the local Cloudflare: it is known to run, and to leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from notebook_do.local.process import launch

SUITE = Path(__file__).parent / "test_cloudflare.py"


@pytest.mark.thorough
def test_the_live_suite_runs_and_cleans_up(cloud: Path) -> None:
    """Every question (a) to (i) is asked and answered as assumed, and a Worker of somebody else stays as it is."""
    target = launch.ensure(cloud / "local-data")
    try:
        api = f"{target.api}/accounts/{target.account_id}/workers"
        signed = {"Authorization": f"Bearer {target.token()}"}
        code = {"main.js": ("main.js", "export default { fetch() {} }", "application/javascript+module")}
        metadata = {"metadata": '{"main_module": "main.js", "compatibility_date": "2026-01-01"}'}
        made = httpx.put(f"{api}/scripts/somebody-elses", headers=signed, data=metadata, files=code)
        assert made.status_code == 200
        asked = {
            "CLOUDFLARE_API_TOKEN": target.token(),
            "CLOUDFLARE_ACCOUNT_ID": target.account_id,
            "CLOUDFLARE_API_BASE_URL": target.api,
        }
        options = ["-q", "--color=no", "-p", "no:cacheprovider", "-m", "live", str(SUITE)]
        command = [sys.executable, "-m", "pytest", *options]
        done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert "9 passed" in done.stdout
        # What moves the times of the lists is answered, change by change: here every version that goes live does.
        answers = [line for line in done.stdout.splitlines() if " moves " in line]
        assert len(answers) == len({line.partition(" moves ")[0] for line in answers}) == 7
        assert any(line.startswith("upload moves") and "modified_on" in line for line in answers)
        assert target.token() not in done.stdout + done.stderr
        left = httpx.get(f"{api}/scripts", headers=signed).json()["result"]
        assert [script["id"] for script in left] == ["somebody-elses"]
    finally:
        target.release()
