#!/bin/sh
# What clients of PostgreSQL do: each writes rows, a transaction each, which counts them, too, and notes the commits that were
# acknowledged. These are to be there when all is mended, at the primary and at the standby. Usage: postgres-client.sh setup|write|check
sql() {
  host=$1
  shift
  psql "host=$host user=postgres connect_timeout=2 keepalives_idle=1 keepalives_interval=1 keepalives_count=2" -qAtX -v ON_ERROR_STOP=1 "$@"
}
report() { echo "$*" >/dev/retrap/report; }
case $1 in
  setup)
    until [ "$(sql primary -c "select sync_state from pg_stat_replication where state = 'streaming'" 2>/dev/null)" = sync ]; do sleep 0.5; done
    sql primary -c 'create table written(n int primary key, text text); create table counted(client int primary key, n int);
      insert into counted values (1, 0), (2, 0)'
    ;;
  write)
    # Of client $2, $3 rows.
    first=$(($2 * 100000))
    next=$first
    while [ $next -lt $((first + $3)) ]; do
      for n in $(seq $next $((first + $3 - 1))); do
        printf '%s\n' "\\echo tried $n"
        echo "begin; insert into written values ($n, repeat('$n ', 99)); update counted set n = n + 1 where client = $2; commit;"
        printf '%s\n' "\\echo acknowledged $n"
        [ $((n % 20)) != 0 ] || echo 'checkpoint;'
        echo 'select from pg_sleep(0.05);'
      done | sql primary >/tmp/said-$2 2>/tmp/errors-$2
      tail -n 1 /tmp/errors-$2
      cat /tmp/said-$2 >>/tmp/all-$2
      tried=$(sed -n 's/tried //p' /tmp/said-$2 | tail -n 1)
      next=$((${tried:-$((next - 1))} + 1))
      [ $next -ge $((first + $3)) ] || sleep 0.5
    done
    ;;
  check)
    sed -n 's/acknowledged //p' /tmp/all-* | sort >/tmp/acknowledged
    sed -n 's/tried //p' /tmp/all-* | sort >/tmp/tried
    until at=$(sql primary -c 'select pg_current_wal_flush_lsn()'); do sleep 0.5; done 2>/dev/null
    until [ "$(sql standby -c "select pg_last_wal_replay_lsn() >= '$at'")" = t ]; do sleep 0.5; done 2>/dev/null
    for host in primary standby; do
      sql $host -c 'select n from written' | sort >/tmp/at-$host
      sql $host -c 'select md5(string_agg(w::text, chr(10) order by n)) from written w; select * from counted order by client' >/tmp/sum-$host
    done
    lost=$(comm -23 /tmp/acknowledged /tmp/at-primary | grep -c .)
    kept=$(comm -12 /tmp/acknowledged /tmp/at-primary | grep -c .)
    report "always acknowledged-commits-are-kept $([ "$lost" = 0 ] && echo ok || echo fail) {\"lost\": $lost, \"kept\": $kept}"
    report "always replicas-are-equal $([ "$(cat /tmp/sum-primary)" = "$(cat /tmp/sum-standby)" ] && echo ok || echo fail)"
    counted=$(sql primary -c 'select sum(n) from counted')
    report "always transactions-are-whole $([ "$counted" = "$(grep -c . /tmp/at-primary)" ] && echo ok || echo fail)"
    unknown=$(comm -13 /tmp/acknowledged /tmp/tried | grep -c .)
    echo "$kept acknowledged and kept, $lost lost, of $unknown others $(comm -12 /tmp/tried /tmp/at-primary | comm -13 /tmp/acknowledged - | grep -c .) are there"
    report "sometimes unacknowledged $([ "$unknown" -gt 0 ] && echo ok || echo fail)"
    ;;
esac
