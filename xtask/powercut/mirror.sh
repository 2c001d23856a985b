#!/bin/bash
# Brings the mirror host up after a boot: $SITE has keys and configuration, the folder that files
# arrive in is on /dev/vdb.
set -euo pipefail
config=$SITE/mirror.toml
modprobe ext4
mkdir -p /srv/aim /run/sshd
mount /dev/vdb /srv/aim
mkdir -p /srv/aim/data
"$(command -v sshd)" -e -f /dev/null -h "$SITE/host_key" -o AuthorizedKeysFile="$SITE/user_key.pub" \
    -o StrictModes=no -o UsePAM=no -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no \
    -o Subsystem="sftp internal-sftp" -o ForceCommand=internal-sftp 2>> /run/vm/sshd.log
if [ ! -e /srv/aim/data/mirror.id ]; then
    until "$AIM" init data --overwrite /dev/vda --config "$config" > /run/init.log 2>&1; do
        [ $SECONDS -lt 120 ] || { cat /run/init.log; exit 1; }
        sleep 0.5
    done
fi
bash "$SCRIPTS/run.sh" mirror
