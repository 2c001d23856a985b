#!/bin/bash
# On the source, after a power cut: is everything there that a load was promised? Status 3 and the
# reason if not. The promises are in /run/vm/acks.
set -uo pipefail
acks=/run/vm/acks
disk=$(readlink -f /dev/aim/data)
lost() { echo "lost: $*"; exit 3; }

mount "$disk" /mnt/data || lost "the file system does not mount"

touch $acks/files
awk '$1 == "kept" { sums[$2] = $3 } $1 == "gone" { delete sums[$2] }
     END { for (n in sums) print sums[n] "  /mnt/data/files/" n }' $acks/files > /run/sums
echo "files: $(wc -l < /run/sums)"
if [ -s /run/sums ]; then
    sha256sum --quiet --strict --check /run/sums || lost "synced files"
fi

rows=$(cat $acks/rows.0 $acks/rows.1 2> /dev/null | sort -n | tail -n 1)
echo "rows: ${rows:-0}"
if [ -e /mnt/data/rows.db ]; then
    query() { sqlite3 /mnt/data/rows.db "$1"; }
    whole=$(query 'PRAGMA integrity_check;')
    [ "$whole" = ok ] || lost "the database: $whole"
    if [ "${rows:-0}" -gt 0 ]; then
        wrong=$(query "SELECT count(*) FROM rows WHERE body <> printf('%d %.*c', id, id * 37 % 1500, 'x');")
        [ "$wrong" = 0 ] || lost "$wrong rows have another content"
        there=$(query 'SELECT count(*) FROM rows;')
        [ "$there" -ge "$rows" ] || lost "$there rows where $rows were committed"
        sound=$(query 'SELECT count(*) = max(id) AND count(*) = (SELECT rows FROM total) FROM rows;')
        [ "$sound" = 1 ] || lost "a transaction is there in part"
    fi
elif [ "${rows:-0}" -gt 0 ]; then
    lost "the database is not there"
fi

umount /mnt/data || exit 1
e2fsck -fn "$disk" > /run/fsck.log 2>&1 || { cat /run/fsck.log; lost "the file system is not clean"; }

# The place of a job that was started and not done may hold anything.
touch $acks/fio
awk '$1 == "start" { open[$2 % 64] = 1 } $1 == "done" { open[$2 % 64] = 0; last[$2 % 64] = $2 }
     END { for (p in last) if (!open[p]) print last[p] }' $acks/fio > /run/jobs
echo "fio: $(wc -l < /run/jobs)"
if [ -s /run/jobs ]; then
    {
        printf '[global]\nfilename=%s\ndirect=1\nioengine=libaio\niodepth=16\nbs=4k\nrw=randwrite\n' "$disk"
        printf 'thread=1\nstonewall\nverify=pattern\nverify_only\nverify_fatal=1\nsize=256k\n'
        while read -r job; do
            printf '[%d]\noffset=%d\nverify_pattern=0x%08x%%o\n' "$job" \
                $((RAW_OFFSET + job % 64 * 262144)) "$job"
        done < /run/jobs
    } > /run/check.fio
    fio --minimal /run/check.fio > /run/check.log 2> /run/check.err ||
        { tail -n 5 /run/check.err; lost "blocks of fio"; }
fi
