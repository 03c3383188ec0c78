#!/usr/bin/env bash
# Sets up the emulated ARM device and the runtime bundle, once, into the user's cache. Needs Debian
# or Ubuntu; installs what is missing there, also for `export-mobile emulator setup --counter`.
set -euo pipefail
cd "$(dirname "$0")/.."

needed=(
  adb mmdebstrap debian-archive-keyring
  # To build the counter.
  gcc libc6-dev ninja-build pkg-config libglib2.0-dev zlib1g-dev xz-utils
)
missing=()
for package in "${needed[@]}"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "device: please install as root: apt-get install ${missing[*]}" >&2; exit 2; }
    sudo=sudo
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
exec .venv/bin/export-mobile emulator setup --runtimes
