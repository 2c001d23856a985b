#!/run/busybox sh
# Second program of the guest, in the overlay on the host's root: finishes the guest, runs the
# command, hands back its exit status and powers off. /run/vm is the host's run folder.
b=/run/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
. /run/vm/guest.conf

$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts -o ptmxmode=666 pts /dev/pts
$b mount -t tmpfs shm /dev/shm
$b mount -t debugfs debugfs /sys/kernel/debug
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
$b ln -sf /proc/self/fd /dev/fd
$b ln -sf fd/0 /dev/stdin
$b ln -sf fd/1 /dev/stdout
$b ln -sf fd/2 /dev/stderr

# busybox is modprobe here: kmod, if the host has it, wants an index that only its own depmod makes
release=$($b uname -r)
$b mkdir -p "/lib/modules/$release"
$b mount --bind "$modules/$release" "/lib/modules/$release"
for tool in modprobe insmod rmmod lsmod modinfo; do $b ln -sf $b /usr/sbin/$tool; done
echo /usr/sbin/modprobe > /proc/sys/kernel/modprobe
modprobe configfs && $b mount -t configfs configfs /sys/kernel/config

echo "$name" > /proc/sys/kernel/hostname
$b ip link set lo up
n=0
for address in $addresses; do
  $b ip addr add "$address" dev eth$n
  $b ip link set eth$n up
  n=$((n + 1))
done

port() {
  for p in /sys/class/virtio-ports/*; do
    read -r v < "$p/name"
    [ "$v" != "$1" ] || echo "/dev/${p##*/}"
  done
}
out=$(port out)
err=$(port err)
read -r up _ < /proc/uptime
echo "$up" > /run/vm/ready
/bin/sh /run/vm/command </dev/null >"$out" 2>"$err"
echo $? > /run/vm/status
$b sync
echo o > /proc/sysrq-trigger
$b sleep 10
