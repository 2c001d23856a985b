#!/bin/bash
# Starts `aim run` on the source and waits for its device.
set -uo pipefail
rm -f /run/aim.ended
{
    "$AIM" run --config "$SITE/source.toml" 2>> /run/vm/aim.log &
    echo $! > /run/aim.pid
    wait $!
    echo $? > /run/aim.ended
} &
until [ -b /dev/aim/data ]; do
    [ ! -e /run/aim.ended ] || { tail -n 20 /run/vm/aim.log; exit 1; }
    sleep 0.1
done
