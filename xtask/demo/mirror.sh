#!/bin/bash
# The mirror host of the demo. $DEMO: the folder with keys and configuration.
# /run/vm is shared with the host: what is said there ends or starts a step.
set -euo pipefail
config=$DEMO/mirror.toml
say() { echo "$*"; }
aim() { "$AIM" "$@" --config "$config"; }

modprobe ext4
mkfs.ext4 -q /dev/vdb
mkdir -p /srv/aim /mnt/mirror /run/sshd
mount /dev/vdb /srv/aim
mkdir /srv/aim/data

say "an OpenSSH server that only does SFTP"
"$(command -v sshd)" -e -f /dev/null -h "$DEMO/host_key" -o AuthorizedKeysFile="$DEMO/user_key.pub" \
    -o StrictModes=no -o UsePAM=no -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no \
    -o Subsystem="sftp internal-sftp" -o ForceCommand=internal-sftp 2> /run/vm/sshd.log

until aim init data > /run/init.log 2>&1; do
    [ "$SECONDS" -lt 180 ] || { cat /run/init.log >&2; exit 1; }
    sleep 1
done
say "aim init: paired /dev/vda with the volume of the source"
"$AIM" run --config "$config" 2> /run/vm/aim.log &
daemon=$!
until [ -e /run/vm/cut ]; do
    kill -0 $daemon || { cat /run/vm/aim.log >&2; exit 1; }
    sleep 0.2
done

say "the source is gone; applying what has arrived"
aim wait data --timeout 120s
aim status data || true   # says that it is behind: the source is gone
kill -TERM $daemon
wait $daemon

say "checking the file system: its journal is replayed by a mount, as after any power failure"
blockdev --rereadpt /dev/vda
until [ -b /dev/vda1 ]; do sleep 0.2; done
mount /dev/vda1 /mnt/mirror
umount /mnt/mirror
e2fsck -fn /dev/vda1
mount -o ro /dev/vda1 /mnt/mirror

say "comparing the files"
(cd /mnt/mirror/tree && sha256sum --quiet --strict --check "$DEMO/manifest")
[ "$(find /mnt/mirror/tree -type f | wc -l)" = "$(wc -l < "$DEMO/manifest")" ]

say "checking the database"
cp /mnt/mirror/rows.db* /run/   # a rollback journal, if there is one, belongs to it
query() { sqlite3 /run/rows.db "$1"; }
[ "$(query 'PRAGMA integrity_check;')" = ok ]
[ "$(query "SELECT count(*) FROM rows WHERE body <> printf('row %d of the source', id);")" = 0 ]
[ "$(query 'SELECT count(*) = max(id) FROM rows;')" = 1 ]
query 'SELECT count(*) FROM rows;' > /run/vm/rows
