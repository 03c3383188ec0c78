#!/bin/sh
# Runs a Python script with the libraries, the interpreter and numpy that lie beside this file:
#     sh CORE/run.sh OVERLAY SCRIPT [ARGUMENT...]
# OVERLAY, which holds one runtime in `site`, and SCRIPT are absolute paths.
case $0 in
*/*) core=${0%/*} ;;
*) core=. ;;
esac
core=$(CDPATH='' cd -- "$core" && pwd) || exit 127
overlay=$1
shift
case $core$overlay in
*[:\;]*)
    # Both would end a path in the lists below.
    echo "run.sh: a path may have neither a colon nor a semicolon: $core $overlay" >&2
    exit 127
    ;;
esac
# Of the caller's environment nothing may lead to other libraries or modules.
unset LD_LIBRARY_PATH LD_PRELOAD PYTHONSTARTUP PYTHONINSPECT PYTHONPLATLIBDIR
export PYTHONHOME="$core/py" PYTHONPATH="$core/site:$overlay/site"
export PYTHONUTF8=1 PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
# A phone has no /tmp and may have no home.
export TMPDIR="$PWD" HOME="$PWD"
# OpenBLAS starts a thread for every core at import; numpy only carries arrays here.
export OPENBLAS_NUM_THREADS=1
exec "$core/lib/ld-linux-aarch64.so.1" --library-path "$core/lib" --argv0 "$core/bin/python3" \
    "$core/bin/python3" "$@"
