#!/bin/bash
# Starts a load on /dev/aim/data: load.sh KIND SEED, KIND one of fio, files, rows, mixed.
set -euo pipefail
kind=$1 seed=$2
case $kind in
    mixed) kinds="fio files rows" ;;
    *) kinds=$kind ;;
esac
[ "$kind" = fio ] || mount "$(readlink -f /dev/aim/data)" /mnt/data
for kind in $kinds; do
    setsid bash "$SCRIPTS/load-$kind.sh" "$seed" > "/run/vm/load-$kind.log" 2>&1 &
    echo $! >> /run/loads
done
