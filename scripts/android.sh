#!/usr/bin/env bash
# Builds the Android demo app. Needs Debian or Ubuntu; installs what is missing there.
set -euo pipefail
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

models=() abi=arm64-v8a keystore='' alias='' test=()
goal=(package -DskipTests)
while [ $# -gt 0 ]; do
  case $1 in
    --help) echo "$usage"; exit ;;
    --test)
      # Compilers for the shim that Android's libraries run over.
      test=(gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
      goal=(package)
      shift
      continue
      ;;
    --models | --abi | --keystore | --key-alias) [ -n "${2:-}" ] || fail "$1 needs a value." ;;
    *) fail "$1 is not an option; see scripts/android.sh --help." ;;
  esac
  case $1 in
    --models) models+=("$2") ;;
    --abi) abi=$2 ;;
    --keystore) keystore=$2 ;;
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

# What Debian lacks: a compiler of Java 17 or newer, Maven, npm.
missing=()
java=$(javac -version 2>/dev/null | sed -n 's/^javac \([0-9]*\).*/\1/p')
[ "${java:-0}" -ge 17 ] || missing+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v npm >/dev/null || missing+=(npm)
for package in "${test[@]}"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please install as root: apt-get install ${missing[*]}"
    sudo=sudo
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

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
    keytool -genkeypair -keystore "$keystore.new" -storetype PKCS12 -storepass android -alias debug \
      -keyalg RSA -keysize 3072 -validity 10950 -dname 'CN=export-mobile debug' 2>/dev/null
    mv "$keystore.new" "$keystore"
  fi
fi

folders=$(realpath "${models[@]}" | paste -sd :)
mkdir -p android_demo/target
log=android_demo/target/build.log
maven=(mvn --batch-mode --no-transfer-progress --file android_demo/pom.xml)
if [ ${#test[@]} -gt 0 ] && ! "${maven[@]}" --non-recursive --activate-profiles ktlint validate >"$log" 2>&1; then
  grep -F '[java]' "$log" | head -60 >&2
  fail "The Kotlin sources are not in the official style; see above."
fi
if ! "${maven[@]}" --threads 2 --also-make "${goal[@]}" \
  --projects apk/current,apk/legacy,jvm "-Dapk.abi=$abi" "-Dapk.suffix=$suffix" "-Dapk.models=$folders" \
  "-Dapk.keystore=$(realpath "$keystore")" "-Dapk.key.alias=$alias" >"$log" 2>&1; then
  grep -E '^\[ERROR\]|\[java\]|^Tests run:' "$log" | head -60 >&2
  echo "android: The build failed; all that Maven said is in $log." >&2
  exit 1
fi
grep -E '^(\[INFO\] )?Tests run:.*Time' "$log" || true
exec .venv/bin/python -m scripts.android_readiness \
  "android_demo/target/export-mobile-demo$suffix.apk" "android_demo/target/export-mobile-demo-legacy$suffix.apk"
