# Writes rows with sqlite3 while the power is lost again and again, each in a transaction, and looks after each start at what is there.
#
#   crash-sqlite.sh PATH JOURNAL SYNCHRONOUS     such as: crash-sqlite.sh /data/db wal FULL
cd "${1%/*}" || exit
exec 3>/dev/retrap/report
say() { echo "$*" >&3; }
start="pragma journal_mode = $2; pragma synchronous = $3; pragma wal_autocheckpoint = 20;"
whole=$(sqlite3 "$1" 'pragma integrity_check' 2>&1)
[ "$whole" = ok ] && say always database-is-whole ok || say "always database-is-whole fail $whole"
sqlite3 "$1" "$start create table if not exists t(n integer primary key, text)" >/dev/null
# Rows are numbered without gaps.
last=$(sqlite3 "$1" 'select coalesce(max(n), 0) from t')
rows=$(sqlite3 "$1" 'select count(*) from t')
[ "$rows" = "$last" ] || say "always database-is-whole fail {\"rows\": $rows, \"last\": $last}"
say "found rows $last"
{
  printf '.output /dev/null\n%s\n.output\n' "$start"
  while :; do
    last=$((last + 1))
    echo "insert into t values ($last, hex(randomblob(700))); select 'promised rows $last';"
  done
} | stdbuf -oL sqlite3 "$1" >&3
