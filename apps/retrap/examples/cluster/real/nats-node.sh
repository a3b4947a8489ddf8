#!/bin/sh
# A NATS server with JetStream, one of those on node-1 to node-$1. Its files lie at /data. Further lines of its jetstream block: $2.
name=$(cat /etc/hostname)
routes=
for i in $(seq "$1"); do routes="$routes${routes:+,} nats://node-$i:6222"; done
cat >/tmp/nats.conf <<END
server_name: $name
listen: 0.0.0.0:4222
jetstream { store_dir: /data, max_memory_store: 16MB, max_file_store: 48MB }
cluster { name: nats, listen: 0.0.0.0:6222, routes: [$routes ] }
END
exec nats-server -c /tmp/nats.conf
