#!/bin/bash
# Files that are made durable one by one, as a careful program does it: written under another name,
# synced, renamed, the folder synced. The last 24 are kept. What is promised goes to
# /run/vm/acks/files: `kept N SUM` when a file is durable, `gone N` before it is removed.
set -euo pipefail
acks=/run/vm/acks/files
touch $acks
RANDOM=$(($1 % 32768))
folder=/mnt/data/files
mkdir -p $folder
number=$(awk '{ if ($2 > last) last = $2 } END { print last + 0 }' $acks)
while true; do
    number=$((number + 1))
    echo start $number >> $acks
    new=$folder/new
    head -c $((RANDOM % 40000 + 1)) /dev/urandom > $new
    sum=$(sha256sum < $new)
    sync $new
    mv $new $folder/$number
    sync $folder
    echo kept $number "${sum%% *}" >> $acks
    # a file that nobody waits for, straight to the disk and never synced
    dd if=/dev/urandom of=$folder/noise bs=4k count=8 seek=$((RANDOM % 64)) oflag=direct \
        conv=notrunc status=none
    old=$((number - 24))
    if [ -e $folder/$old ]; then
        echo gone $old >> $acks
        rm $folder/$old
    fi
done
