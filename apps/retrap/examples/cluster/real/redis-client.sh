#!/bin/sh
# What a client of Redis does: it asks a Sentinel for the master, and writes to it while it answers. Every write that was acknowledged is
# to be there when all is mended. Usage: redis-client.sh setup|write|check
# The master that most Sentinels name: one that was cut off names an old one.
master() {
  for node in node-1 node-2 node-3; do
    timeout 1 redis-cli -h $node -p 26379 SENTINEL get-master-addr-by-name main 2>/dev/null | head -n 1
  done | sort | uniq -c | sort -rn | sed -n '1s/.* //p'
}
case $1 in
  setup)
    for node in node-1 node-2 node-3; do
      until timeout 1 redis-cli -h $node -p 26379 INFO sentinel | grep -q 'status=ok,.*slaves=2,sentinels=3'; do sleep 1; done
    done
    ;;
  write)
    at=$(master)
    for i in $(seq "$2"); do
      if [ "$(timeout 1 redis-cli -h "$at" SADD written "$i" 2>/dev/null)" = 1 ]; then echo "$i" >>/tmp/acknowledged; else at=$(master); fi
      sleep 0.2
    done
    ;;
  check)
    redis-cli -h "$(master)" SMEMBERS written | sort >/tmp/there
    sort -o /tmp/acknowledged /tmp/acknowledged
    lost=$(comm -23 /tmp/acknowledged /tmp/there | grep -c .)
    kept=$(comm -12 /tmp/acknowledged /tmp/there | grep -c .)
    [ "$lost" = 0 ] && how=ok || how=fail
    echo "always acknowledged-writes-are-kept $how {\"lost\": $lost, \"kept\": $kept}" >/dev/retrap/report
    ;;
esac
