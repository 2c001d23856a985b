#!/bin/bash
# Kills the loads that load.sh has started. Killed, not told to stop: fio would call a job done.
set -uo pipefail
while read -r load; do
    kill -KILL -- "-$load" 2> /dev/null
    while kill -0 -- "-$load" 2> /dev/null; do sleep 0.05; done
done < /run/loads
rm /run/loads
if mountpoint -q /mnt/data; then
    until umount /mnt/data; do [ $SECONDS -lt 60 ] || exit 1; sleep 0.1; done
fi
