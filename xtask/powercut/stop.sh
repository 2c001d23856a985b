#!/bin/bash
# Stops `aim run` in order: on the source all that was captured is on its way then and the device
# is gone, on the mirror host the disk holds whole files.
set -euo pipefail
kill -TERM "$(cat /run/aim.pid)"
until [ -e /run/aim.ended ]; do sleep 0.1; done
[ "$(cat /run/aim.ended)" = 0 ] || { tail -n 20 /run/vm/aim.log; exit 1; }
