#!/usr/bin/env bash
# Sets up what the tests need and runs the whole suite; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
bash scripts/device.sh
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
exec pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadfile "$@"
