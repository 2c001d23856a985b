#!/bin/bash
# What runs in a machine of the power cut test: does what the host asks, one script after another.
# A script arrives as /run/vm/todo/N; its output goes to /run/vm/done/N.log, its status to done/N.
number=1
while true; do
    until [ -e /run/vm/todo/$number ]; do sleep 0.05; done
    bash /run/vm/todo/$number > /run/vm/done/$number.log 2>&1
    echo $? > /run/vm/done/new
    mv /run/vm/done/new /run/vm/done/$number
    number=$((number + 1))
done
