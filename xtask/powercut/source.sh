#!/bin/bash
# Brings the source up after a boot: $SITE has keys and configuration, the journal is on /dev/vdb.
set -euo pipefail
config=$SITE/source.toml
for module in ublk_drv ext4; do modprobe $module; done
mkdir -p /var/lib/aim /mnt/data
mount /dev/vdb /var/lib/aim
if [ ! -e /var/lib/aim/data/volume.id ]; then
    until "$AIM" init data --assume-identical --config "$config" > /run/init.log 2>&1; do
        [ $SECONDS -lt 60 ] || { cat /run/init.log; exit 1; }
        sleep 0.5
    done
fi
bash "$SCRIPTS/run.sh" source
