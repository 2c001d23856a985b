# Run as root in a throw-away guest: the same writes are applied to /dev/vda by aim, from sealed files on
# /dev/vdc, and by replay-log, from the log of dm-log-writes on /dev/vdb. Both begin with empty caches
# and end with a sync.
#
# guest.sh APPLIER REPLAYER ROUNDS [NAME JOURNAL IOLOG]...
set -eu
rounds=$3
# out of the host's folders, which lose their caches, too
cp "$1" /tmp/applier
cp "$2" /tmp/replayer
shift 3
mkfs.ext4 -q -F /dev/vdc
mkdir -p /tmp/files
mount /dev/vdc /tmp/files

# turn NAME TOOL COMMAND...: says how many seconds it took
turn() {
    name=$1 tool=$2
    shift 2
    sync
    echo 3 > /proc/sys/vm/drop_caches
    begin=$(date +%s%N)
    "$@" > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
    end=$(date +%s%N)
    echo "turn,$name,$tool,$((end - begin))"
}

while [ $# -gt 0 ]; do
    name=$1 journal=$2 iolog=$3
    shift 3
    rm -rf /tmp/files/journal
    mkdir /tmp/files/journal
    cp -r "$journal/outgoing" /tmp/files/journal/
    dmsetup create logged --table "0 $(blockdev --getsz /dev/vda) log-writes /dev/vda /dev/vdb"
    # no udev is here, and fio would make a plain file of that name
    dmsetup mknodes logged
    [ -b /dev/mapper/logged ]
    fio --name=log --filename=/dev/mapper/logged --replay_redirect=/dev/mapper/logged \
        --read_iolog="$iolog" --replay_no_stall=1 --direct=1 --ioengine=libaio --iodepth=32 \
        > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
    dmsetup remove logged
    # the log went past the page cache
    blockdev --flushbufs /dev/vdb
    # writes get into the log with the flush behind them; marks and flushes are entries, too
    logged=$(/tmp/replayer --log /dev/vdb --num-entries)
    if [ "$logged" -lt "$(grep -c ' write ' "$iolog")" ]; then
        echo "$name: only $logged entries were logged" >&2
        exit 1
    fi
    round=0
    while [ $round -lt "$rounds" ]; do
        rm -rf /tmp/files/state
        mkdir /tmp/files/state
        aim() { turn "$name" aim /tmp/applier /tmp/files/journal /dev/vda /tmp/files/state; }
        log() { turn "$name" replay-log /tmp/replayer --log /dev/vdb --replay /dev/vda; }
        if [ $((round % 2)) -eq 0 ]; then aim; log; else log; aim; fi
        round=$((round + 1))
    done
done
