#!/bin/sh
# A Redis server and a Sentinel. Node-1 is the first master; the others are its replicas.
first=$(sed -n 's/ node-1$//p' /etc/hosts | head -n 1)
mkdir -p /data
cd /data
set -- --bind 0.0.0.0 --protected-mode no --save '' --repl-diskless-sync-delay 0 --loglevel warning
[ "$(cat /etc/hostname)" = node-1 ] || set -- "$@" --replicaof "$first" 6379
redis-server "$@" &
cat >sentinel.conf <<EOF
sentinel monitor main $first 6379 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 3000
protected-mode no
EOF
exec redis-sentinel sentinel.conf
