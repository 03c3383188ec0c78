#!/usr/bin/env bash
# Builds the Android demo app. Needs Debian or Ubuntu on x86-64; installs what is missing there.
# Exit code 1: what is there does not build, or fails its tests. 2: it cannot be built here.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."

usage="Usage: scripts/android.sh [OPTIONS]

Makes android_demo/target/export-mobile-demo.apk (ExecuTorch, ONNX Runtime, TensorFlow Lite) and
export-mobile-demo-legacy.apk (PyTorch Lite), and says whether they are fit to be installed.

  --models DIR      An output folder of export-mobile to put into the app; repeatable. Without it:
                    digits-deit-mobile, made by scripts/quickstart.sh if it is missing.
  --abi ABI         arm64-v8a (default), or x86_64 for emulators: the files' names then end in -x86_64.
  --keystore FILE   Sign with a key of this store, not with a debug key that is made once. Its password
                    is read from EXPORT_MOBILE_KEY_PASSWORD.
  --key-alias NAME  The key's name in the store; needed with --keystore.
  --test            Run its unit tests, its screens and ktlint too, and install what tests/android needs.
  --help            This text."

fail() {
  echo "android: $1" >&2
  exit 2
}

# Of a path as the caller means it.
absolute() {
  case $1 in
    /*) echo "$1" ;;
    *) echo "$here/$1" ;;
  esac
}

models=() abi=arm64-v8a keystore='' alias='' test=()
goal=(package -DskipTests)
while [ $# -gt 0 ]; do
  case $1 in
    --help) echo "$usage"; exit ;;
    --test)
      # For the shim that Android's libraries run over, and a JVM for arm64.
      test=(gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross mmdebstrap debian-archive-keyring)
      goal=(package)
      shift
      continue
      ;;
    --models | --abi | --keystore | --key-alias) [ -n "${2:-}" ] || fail "$1 needs a value." ;;
    *) fail "$1 is not an option; see scripts/android.sh --help." ;;
  esac
  case $1 in
    --models) models+=("$(absolute "$2")") ;;
    --abi) abi=$2 ;;
    --keystore) keystore=$(absolute "$2") ;;
    --key-alias) alias=$2 ;;
  esac
  shift 2
done
case $abi in
  arm64-v8a) suffix='' ;;
  x86_64) suffix=-x86_64 ;;
  *) fail "There is no ABI $abi here; choose arm64-v8a or x86_64." ;;
esac
for folder in "${models[@]}"; do
  [ -f "$folder/manifest.json" ] || fail "$folder has no manifest.json; give an output folder of export-mobile."
done
if [ -n "$keystore" ]; then
  [ -f "$keystore" ] || fail "There is no key store $keystore."
  [ -n "$alias" ] || fail "--keystore needs --key-alias as well."
  [ -n "${EXPORT_MOBILE_KEY_PASSWORD:-}" ] || fail "Put the key store's password into EXPORT_MOBILE_KEY_PASSWORD."
elif [ -n "$alias" ]; then
  fail "--key-alias needs --keystore as well."
fi

[ "$(uname -m)" = x86_64 ] || fail "Android's resource compiler comes for x86-64 only, and this is $(uname -m)."

# The folder of a JDK of Java 17 or newer: the one that is set, that of the PATH, or any of Debian's.
jdk() {
  local home version
  for home in "${JAVA_HOME:-}" "$(readlink -f "$(command -v javac)" | sed 's|/bin/javac$||')" /usr/lib/jvm/*; do
    [ -n "$home" ] && [ -x "$home/bin/javac" ] || continue
    version=$("$home/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
    [ "${version:-0}" -lt 17 ] || { echo "$home"; return; }
  done
}

missing=()
[ -n "$(jdk)" ] || missing+=(jdk)
command -v mvn >/dev/null || missing+=(maven)
command -v npm >/dev/null || missing+=(npm)
for package in "${test[@]}"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please install as root: apt-get install ${missing[*]/#jdk/default-jdk-headless}"
    sudo=sudo
  fi
  $sudo apt-get update -qq || fail "apt-get update failed; see above."
  # Newer releases have no Java 17.
  java=default-jdk-headless
  ! apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1 || java=openjdk-17-jdk-headless
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]/#jdk/$java}" >/dev/null || fail "apt-get could not install ${missing[*]/#jdk/$java}; see above."
fi
JAVA_HOME=$(jdk)
[ -n "$JAVA_HOME" ] || fail "There is no JDK of Java 17 or newer; install one and set JAVA_HOME."
export JAVA_HOME

bash scripts/setup.sh android
if [ ${#models[@]} -eq 0 ]; then
  models=(digits-deit-mobile)
  [ -f digits-deit-mobile/manifest.json ] || bash scripts/quickstart.sh
fi

if [ -z "$keystore" ]; then
  case ${XDG_CACHE_HOME:-} in
    /*) cache=$XDG_CACHE_HOME/export-mobile/android ;;
    *) cache=$HOME/.cache/export-mobile/android ;;
  esac
  # Always the same, so that a newer build can be installed over an older one.
  keystore=$cache/debug.p12 alias=debug
  export EXPORT_MOBILE_KEY_PASSWORD=android
  if [ ! -f "$keystore" ]; then
    mkdir -p "$cache"
    rm -f "$keystore.new"
    said=$("$JAVA_HOME/bin/keytool" -genkeypair -keystore "$keystore.new" -storetype PKCS12 -storepass android \
      -alias debug -keyalg RSA -keysize 3072 -validity 10950 -dname 'CN=export-mobile debug' 2>&1) ||
      fail "A debug key cannot be made: $said"
    mv "$keystore.new" "$keystore"
  fi
fi

folders=$(realpath "${models[@]}" | paste -sd :)
mkdir -p android_demo/target
log=android_demo/target/build.log
maven=(mvn --batch-mode --no-transfer-progress --file android_demo/pom.xml)
failed() {
  grep -E '^\[ERROR\]|\[java\]|^Tests run:' "$log" | head -60 >&2 || true
  echo "android: $1; all that Maven said is in $log." >&2
  exit 1
}
rm -f "android_demo/target/export-mobile-demo$suffix.apk" "android_demo/target/export-mobile-demo-legacy$suffix.apk"
if [ ${#test[@]} -gt 0 ]; then
  "${maven[@]}" --non-recursive --activate-profiles ktlint validate >"$log" 2>&1 ||
    failed "The Kotlin sources could not be checked, or are not in the official style"
fi
"${maven[@]}" --threads 2 --also-make "${goal[@]}" \
  --projects apk/current,apk/legacy,jvm "-Dapk.abi=$abi" "-Dapk.suffix=$suffix" "-Dapk.models=$folders" \
  "-Dapk.keystore=$(realpath "$keystore")" "-Dapk.key.alias=$alias" >"$log" 2>&1 || failed "The build failed"
grep -E '^(\[INFO\] )?Tests run:.*Time' "$log" || true
exec .venv/bin/python -m scripts.android_readiness \
  "android_demo/target/export-mobile-demo$suffix.apk" "android_demo/target/export-mobile-demo-legacy$suffix.apk"
