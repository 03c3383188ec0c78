#!/usr/bin/env bash
# Installs export-mobile into .venv and exports a real trained model to all four formats in int8.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec .venv/bin/export-mobile models/digits_deit_traced.pt --int8 \
  --calibration models/digits_calibration.npz \
  --evaluation models/digits_evaluation.npz \
  --output digits-deit-mobile "$@"
