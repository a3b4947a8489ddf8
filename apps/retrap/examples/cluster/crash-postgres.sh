# Commits rows to a PostgreSQL server while the power is lost again and again, and looks after each recovery at what is there. The first
# start makes the database.
#
#   crash-postgres.sh fsync=on|fsync=off
bin=/usr/lib/postgresql/15/bin
files=/data/files
exec 3>/dev/retrap/report
say() { echo "$*" >&3; }
as() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
sql() { psql -h /tmp -U postgres -qAtX -v ON_ERROR_STOP=1 "$@"; }
if [ ! -e /data/is-made ]; then
  rm -rf $files && install -d -m 700 -o nobody $files
  as $bin/initdb -D $files -U postgres --locale=C.UTF-8 --data-checksums --wal-segsize=1 -A trust --no-sync >/dev/null || exit 1
  touch /data/is-made
fi
rm -f $files/postmaster.pid
as $bin/postgres -D $files -k /tmp -c listen_addresses= -c "$1" -c jit=off -c shared_buffers=4MB -c max_connections=5 \
  -c recovery_init_sync_method=syncfs -c log_min_messages=panic -c log_checkpoints=off 3>&- &
server=$!
# Its last line is the server's state. A program that asks would take longer than the server needs to start.
state=
until [ "$state" = ready ]; do
  sleep 0.02
  kill -0 $server || { say always server-starts fail; exit 1; }
  while read -r line; do state=$line; done 2>/dev/null <$files/postmaster.pid
done
if [ ! -e /data/is-ready ]; then
  sql -c 'create extension amcheck; create table t(n int primary key, text text); checkpoint' && sync && touch /data/is-ready && sync
fi
# Rows are numbered without gaps. Reading all of them looks at the checksums of their pages.
found=$(sql -c "select coalesce(max(n), 0), count(*), sum(length(text)) - sum(length(repeat(n || ' ', 99))),
  (select count(*) from verify_heapam('t')), bt_index_check('t_pkey', true) from t" 2>&1)
last=${found%%|*}
case $found in
  "$last|$last|"[0]"|0|" | '0|0||0|') say always database-is-whole ok ;;
  *) say "always database-is-whole fail $found" ;;
esac
say "found rows $last"
while :; do
  last=$((last + 1))
  printf '%s\n' "insert into t values ($last, repeat('$last ', 99));" "\\echo promised rows $last"
  [ $((last % 20)) != 0 ] || echo 'checkpoint;'
done | sql -f - >&3
