#!/bin/sh
# A PostgreSQL server whose files lie at /data. The primary makes a new database, and a standby copies it and follows the primary: a
# commit is acknowledged once the standby has it on its disk. Further settings of the primary are arguments, such as -c fsync=off.
bin=/usr/lib/postgresql/15/bin
name=$(cat /etc/hostname)
files=/data/files
as() { TZ=UTC setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
if [ ! -e /data/is-ready ]; then
  rm -rf $files && install -d -m 700 -o nobody $files || exit 1
  if [ "$name" = primary ]; then
    as $bin/initdb -D $files -U postgres --locale=C.UTF-8 --data-checksums --wal-segsize=1 -A trust >/dev/null || exit 1
    echo 'host all,replication all 10.83.0.0/16 trust' >>$files/pg_hba.conf
  else
    from="host=primary user=postgres application_name=$name connect_timeout=2 keepalives_idle=1 keepalives_interval=1 keepalives_count=2"
    until as $bin/pg_basebackup -d "$from" -D $files -R -c fast 2>/dev/null; do sleep 0.5; done
  fi
  touch /data/is-ready && sync
fi
[ "$name" = primary ] && set -- -c synchronous_standby_names='*' "$@"
exec setpriv --reuid=nobody --regid=nogroup --clear-groups $bin/postgres -D $files -k /tmp -c listen_addresses='*' \
  -c synchronous_commit=on -c jit=off -c shared_buffers=16MB -c max_connections=20 -c wal_keep_size=64MB -c checkpoint_timeout=30s \
  -c wal_sender_timeout=3s -c wal_receiver_timeout=3s -c wal_retrieve_retry_interval=500ms -c tcp_keepalives_idle=1 \
  -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2 -c log_checkpoints=off -c log_min_error_statement=panic \
  -c log_line_prefix= "$@"
