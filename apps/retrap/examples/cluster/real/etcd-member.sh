#!/bin/sh
# A member of an etcd cluster whose machines are node-1 to node-$1. The state lies on what the machine has at /data, or in its memory.
name=$(cat /etc/hostname)
cluster=
state=new
for i in $(seq "$1"); do cluster=$cluster${cluster:+,}node-$i=http://node-$i:2380; done
[ ! -d /data/member ] || state=existing
mkdir -p /data
exec etcd --name "$name" --data-dir /data --initial-cluster "$cluster" --initial-cluster-state $state \
  --initial-advertise-peer-urls "http://$name:2380" --listen-peer-urls http://0.0.0.0:2380 \
  --advertise-client-urls "http://$name:2379" --listen-client-urls http://0.0.0.0:2379 --logger zap --log-level warn
