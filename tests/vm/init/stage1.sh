#!/bin/sh
# First program of the guest, with nothing but busybox: mounts the host's root read-only over 9p,
# covers it with an overlay in memory, so that the guest may write anywhere and the host never sees
# it, and enters it.
b=/bin/busybox
fail() { echo "stage 1: $*"; $b poweroff -f; }
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
for module in /m/*; do $b insmod "$module"; done

over=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o "$over,ro,cache=loose" host /lower || fail "the host's root is not there"
$b mount -t tmpfs -o size=75% ovl /ovl && $b mkdir /ovl/u /ovl/w
layers=lowerdir=/lower,upperdir=/ovl/u,workdir=/ovl/w
$b mount -t overlay -o "$layers,redirect_dir=off,metacopy=off" ovl /root || fail "no overlay"
$b mount -t tmpfs run /root/run && $b mkdir /root/run/vm /root/run/lock /root/run/sshd
$b mount -t 9p -o "$over,rw,cache=none" run /root/run/vm || fail "the run folder is not there"

# static: the second stage needs nothing of the host's root
$b cp $b /root/run/busybox
$b umount /proc
$b mount --move /dev /root/dev
exec $b switch_root /root /run/busybox sh /run/vm/stage2
