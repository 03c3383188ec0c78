#!/usr/bin/env bash
# Sets up what the tests need and runs the whole suite; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
# Without them the device suite, and that of the app, are skipped and say why, unless that is forbidden.
bash scripts/device.sh || [ "${EXPORT_MOBILE_REQUIRE_DEVICE:-}" != 1 ]
bash scripts/android.sh --test || { [ $? = 2 ] && [ "${EXPORT_MOBILE_REQUIRE_ANDROID:-}" != 1 ]; }
export PATH="$PWD/.venv/bin:$PATH"
# Three at a time, also on two cores: the device suite waits a lot.
# What counts instructions takes minutes to build, once: its tests come last and wait for it.
nice export-mobile emulator setup --counter >.counter.log 2>&1 &
trap 'kill $! 2>/dev/null || true' EXIT
ruff check .
ruff format --check .
mypy
pytest --numprocesses "${TEST_PROCESSES:-3}" --dist loadfile "$@"
