#!/bin/bash
# Jobs of fio on the part of the disk behind the file system: each fills one of 64 places with
# blocks that bear its number and their own offset, and flushes. What is promised of them goes to
# /run/vm/acks/fio: `start N` before the first write, `done N` after the flush.
set -euo pipefail
acks=/run/vm/acks/fio
touch $acks
number=$(awk '{ last = $2 } END { print last + 0 }' $acks)
disk=$(readlink -f /dev/aim/data)
cd /run
while true; do
    {
        printf '[global]\nfilename=%s\ndirect=1\nioengine=libaio\nbs=4k\nrw=randwrite\n' "$disk"
        printf 'thread=1\nallow_mounted_write=1\nstonewall\nend_fsync=1\nverify=pattern\ndo_verify=0\nsize=256k\n'
        for ((job = number + 1; job <= number + 16; job++)); do
            printf '[%d]\noffset=%d\niodepth=%d\nfsync=%d\nverify_pattern=0x%08x%%o\n' $job \
                $((RAW_OFFSET + job % 64 * 262144)) $((job % 3 * 8 + 1)) $((job % 5 * 6)) $job
            # fio itself redirects the output of these, after their own words
            printf 'exec_prerun=echo start %d | tee -a %s\nexec_postrun=echo done %d | tee -a %s\n' \
                $job $acks $job $acks
        done
    } > /run/load.fio
    number=$((number + 16))
    fio --minimal --randseed="$1" /run/load.fio > /run/load.fio.log
done
