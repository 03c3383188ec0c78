#!/usr/bin/env bash
# Sets up the emulated ARM device, the runtime bundle and the instruction counter, once, into the
# user's cache. Needs Debian or Ubuntu; installs what is missing there.
set -euo pipefail
cd "$(dirname "$0")/.."

# command -> package
needed=(adb:adb mmdebstrap:mmdebstrap gcc:gcc ninja:ninja-build pkg-config:pkg-config)
missing=()
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
pkg-config --exists glib-2.0 2>/dev/null || missing+=(libglib2.0-dev)
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "device: please install as root: apt-get install ${missing[*]}" >&2; exit 2; }
    sudo=sudo
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
exec .venv/bin/export-mobile emulator setup --counter --runtimes
