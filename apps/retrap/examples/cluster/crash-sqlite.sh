# Writes rows with sqlite3 while the power is lost again and again, each in a transaction, and looks after each start at what is there:
# "acked N" once a row is committed, and "found N" or "corrupt ..." after a start.
#
#   crash-sqlite.sh PATH FULL|OFF
cd "${1%/*}" || exit
start="pragma journal_mode = wal; pragma synchronous = $2; create table if not exists t(n integer primary key, text);"
whole=$(sqlite3 "$1" 'pragma integrity_check' 2>&1)
[ "$whole" = ok ] || echo "corrupt $whole"
last=$(sqlite3 "$1" "$start select coalesce(max(n), 0) from t" | tail -n 1)
echo "found $last"
{
  echo "$start"
  while :; do
    last=$((last + 1))
    echo "insert into t values ($last, hex(randomblob(700))); select 'acked $last';"
  done
} | stdbuf -oL sqlite3 "$1"
