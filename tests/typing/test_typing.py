"""mypy --strict agrees with the samples beside this file: each `assert_type`, each ignored error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent
ROOT = SAMPLES.parents[1]


@pytest.mark.timeout(300)  # mypy reads FastAPI and pydantic, without a cache
def test_type_checkers_see_the_public_api_as_meant(tmp_path: Path) -> None:
    samples = sorted(str(path) for path in SAMPLES.glob("*.py") if not path.name.startswith(("test_", "__")))
    assert samples
    mypy = [sys.executable, "-m", "mypy", "--config-file=pyproject.toml", f"--cache-dir={tmp_path}", *samples]
    result = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
