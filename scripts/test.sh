#!/usr/bin/env bash
# Sets up what the tests need and runs the whole suite; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
# Without it the device suite is skipped and says why, unless that is forbidden.
bash scripts/device.sh || [ "${EXPORT_MOBILE_REQUIRE_DEVICE:-}" != 1 ]
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
exec pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadfile "$@"
