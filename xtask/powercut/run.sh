#!/bin/bash
# Starts `aim run` on a host, run.sh source|mirror, and waits until it does its work.
set -uo pipefail
config=$SITE/$1.toml
rm -f /run/aim.ended
{
    "$AIM" run --config "$config" 2>> /run/vm/aim.log &
    echo $! > /run/aim.pid
    wait $!
    echo $? > /run/aim.ended
} &
works() {
    case $1 in
        source) [ -b /dev/aim/data ] ;;
        # whether it is well is another question: it may lack a file that is still to come
        mirror) "$AIM" status data --json --config "$config" 2> /run/status.log | grep -q '"running":true' ;;
    esac
}
until works "$1"; do
    [ ! -e /run/aim.ended ] || { tail -n 20 /run/vm/aim.log; exit 1; }
    sleep 0.1
done
