#!/bin/bash
# The source of the demo. $DEMO: the folder with keys and configuration; $TREE: files to store.
# /run/vm is shared with the host: what is said there ends or starts a step.
set -euo pipefail
config=$DEMO/source.toml
say() { echo "$*"; }
aim() { "$AIM" "$@" --config "$config"; }

say "a disk /dev/vda that is in use already, and a second one with a file system for the journal"
for module in ublk_drv ext4; do modprobe $module; done
head -c 24M /dev/urandom > /dev/vda
mkfs.ext4 -q /dev/vdb
mkdir -p /var/lib/aim /mnt/data
mount /dev/vdb /var/lib/aim

say "aim init: the volume gets its identity, and the mirror host hears of it over SSH"
until aim init data > /run/init.log 2>&1; do
    [ "$SECONDS" -lt 120 ] || { cat /run/init.log >&2; exit 1; }
    sleep 1
done
"$AIM" run --config "$config" 2> /run/vm/aim.log &
until [ -b /dev/aim/data ]; do
    kill -0 $! || { cat /run/vm/aim.log >&2; exit 1; }
    sleep 0.2
done
disk=$(readlink -f /dev/aim/data)

say "the first copy: what the disk holds goes to the mirror, which changes as a whole"
aim sync data --timeout 240s
say "partitioning and formatting /dev/aim/data: captured like every other change"
sfdisk --quiet "$disk" <<< $'label: gpt\n,,L'
until [ -b "${disk}p1" ]; do sleep 0.2; done
mkfs.ext4 -q "${disk}p1"
mount "${disk}p1" /mnt/data

say "storing a source tree: $(wc -l < "$DEMO/manifest") files"
cp -r "$TREE" /mnt/data/tree
sync
say "all of it is on the disk; meanwhile the mirror is this far:"
aim status data

say "freezing the file system for a moment, so that both disks can be compared byte for byte"
fsfreeze --freeze /mnt/data
aim wait data --timeout 240s
touch /run/vm/frozen
until [ -e /run/vm/compared ]; do sleep 0.2; done
fsfreeze --unfreeze /mnt/data

say "a database now takes rows, each in a transaction of its own"
base=/mnt/data/rows.db
sqlite3 "$base" 'PRAGMA synchronous = FULL; CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT);'
row=0
while true; do
    for next in 1 2 3 4 5; do
        id=$((row + next))
        echo "INSERT INTO rows VALUES ($id, printf('row %d of the source', $id));"
    done | sqlite3 "$base"
    row=$((row + 5))
    echo $row > /run/vm/rows.new && mv /run/vm/rows.new /run/vm/rows
done
