#!/usr/bin/env bash
# Makes .venv and installs the project: `scripts/setup.sh [dev|android]`. A second run reuses what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-}

python=
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null &&
    "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "setup: no Python 3.11 to 3.13 here; install one, for example: apt-get install python3 python3-venv" >&2
  exit 2
fi

install_debian_packages() {
  local sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: please install as root: apt-get install $*" >&2; exit 2; }
    sudo=sudo
  fi
  $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@" >/dev/null
}

if [ ! -x .venv/bin/python ]; then
  if ! "$python" -m venv .venv 2>/dev/null; then
    # Debian's Python comes without ensurepip.
    rm -rf .venv
    install_debian_packages "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    "$python" -m venv .venv
  fi
fi

# Installed already for exactly these requirements?
stamp=.venv/.installed-${extra:-user}
wanted=$(sha256sum pyproject.toml scripts/setup.sh scripts/dev-requirements.txt | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  # The registry's newest torch brings several GB of CUDA; this exact version is a CPU build where
  # one is offered, and goes first so that nothing else pulls another in.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
  if [ "$extra" = dev ]; then
    # Their requirements name torchvision's CUDA build, which does not import beside a CPU torch.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r scripts/dev-requirements.txt
  fi
  echo "$wanted" >"$stamp"
fi
