// Programs whose disk is looked at after a crash at every flush: those that sync lose nothing that they have promised, in 200 flushes or more,
// and of those that do not sync a loss is found. A file system that a check has unmounted is whole. SQLite with FULL does not sync the folder
// when it deletes its journal, which is its commit.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { runRetrap } from '../support/processes.ts'

const ROOT_SCRIPT = join(import.meta.dirname, '../../examples/cluster/real/root.sh')
/** Words of root.sh. */
const ROOTS = [
  ['crash', 'sqlite3', 'lmdb-utils', 'python3-lmdb', 'e2fsprogs', 'mount'],
  ['crash-postgres', 'postgresql-15', 'util-linux', 'findutils'],
]
const REPORT = '>/dev/retrap/report'
const loop = (count: number, step: string): string =>
  `cd /data; n=0; while [ $n -lt ${count} ]; do n=$((n + 1)); ${step}; done`
const found = (name: string, of: string): string => `echo found ${name} $(${of} 2>/dev/null || echo 0) ${REPORT}`

const sqlite = (mode: string, synchronous: string, count: number) => ({
  work: `cd /data; { printf '.output /dev/null\\npragma journal_mode = ${mode}; pragma synchronous = ${synchronous};\\n'
    printf 'create table t(n integer primary key, text);\\n.output\\n'
    ${loop(count, `echo "insert into t values($n, hex(randomblob(700))); select 'promised rows $n';"`)}; } |
    stdbuf -oL sqlite3 db ${REPORT}`,
  check: `set -- $(sqlite3 /data/db 'pragma integrity_check; select count(*) from t' 2>/dev/null)
    echo found rows \${2:-0} ${REPORT}; [ "$1" = ok ]`,
})

const lmdb = (count: number) => ({
  work: `exec python3 -c '
import lmdb
db, report = lmdb.open("/data/db", map_size=8 << 20), open("/dev/retrap/report", "w")
for n in range(1, ${count + 1}):
  with db.begin(write=True) as t: t.put(b"%08d" % n, b"x" * 700)
  print("promised rows", n, file=report, flush=True)'`,
  check: found('rows', "mdb_dump -p /data/db | grep -c '^ x'"),
})

const PG = `as() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }; bin=/usr/lib/postgresql/15/bin; d=/data/files
  sql() { as psql -h /tmp -U postgres -qAtX -v ON_ERROR_STOP=1 "$@"; }`
const server = (
  fsync: string,
): string => `rm -f $d/postmaster.pid; as $bin/postgres -D $d -k /tmp -c listen_addresses= -c fsync=${fsync} -c jit=off \\
  -c shared_buffers=4MB -c max_connections=5 -c recovery_init_sync_method=syncfs -c log_min_messages=panic -c log_checkpoints=off & pid=$!; s=
  until [ "$s" = ready ]; do sleep 0.02; kill -0 $pid || exit 9; while read -r l; do s=$l; done 2>/dev/null <$d/postmaster.pid; done`
const postgres = (fsync: string, count: number) => ({
  work: `${PG}; install -d -m 700 -o nobody $d
    as $bin/initdb -D $d -U postgres --locale=C.UTF-8 --data-checksums --wal-segsize=1 -A trust --no-sync >/dev/null || exit 1
    ${server(fsync)}; sql -c 'create table t(n int primary key, text text); checkpoint'; sync; touch /data/is-ready; sync
    { ${loop(count, String.raw`printf '%s\n' "insert into t values ($n, repeat('$n ', 99));" "\\echo promised rows $n"`)}; } | sql -f - ${REPORT}; kill -INT $(head -n 1 $d/postmaster.pid); wait $pid`,
  check: `[ -e /data/is-ready ] || { echo found rows 0 ${REPORT}; exit 0; }
    ${PG}; ${server('on')}; ${found('rows', 'sql -c "select count(length(text)) from t"')}`,
  options: ['--root', '/tmp/retrap-roots/crash-postgres', '--disk', '256M', '--memory', '512M'],
})

const REPLACE = `echo $n >new; sync new; mv new kept`
const KEPT = found('kept', 'cat /data/kept')

/** Those that promise what they do not sync come first. */
const CASES: Readonly<
  Record<string, { readonly work: string; readonly check: string; readonly options?: readonly string[] }>
> = {
  'SQLite, synchronous=OFF': sqlite('delete', 'OFF', 20),
  'SQLite, journal, FULL': sqlite('delete', 'FULL', 20),
  'a rename without fsync of its folder': { work: loop(5, `${REPLACE}; echo promised kept $n ${REPORT}`), check: KEPT },
  'a log without fsync': {
    work: loop(5, `echo $n >>log; echo promised log $n ${REPORT}`),
    check: found('log', 'tail -n 1 /data/log'),
  },
  'PostgreSQL, fsync=off': postgres('off', 20),
  'SQLite, WAL, FULL': sqlite('wal', 'FULL', 100),
  'SQLite, journal, EXTRA': sqlite('delete', 'EXTRA', 50),
  LMDB: lmdb(90),
  'ext4, files and folders that were synced': {
    work: loop(
      50,
      `${REPLACE}; sync kept .; echo promised kept $n ${REPORT}; echo $n >>log; sync log; echo promised log $n ${REPORT}`,
    ),
    check: `${KEPT}; ${found('log', 'tail -n 1 /data/log')}; umount /data && e2fsck -fn /dev/vda`,
  },
  'PostgreSQL, fsync=on': postgres('on', 210),
}
const LOSING = 5
const FLUSHES = 200
const seen: string[] = []

export const soak: Soak = {
  name: 'crash-states',
  count: Object.keys(CASES).length,
  setup() {
    for (const words of ROOTS) execFileSync('sh', [ROOT_SCRIPT, ...words], { stdio: ['ignore', 'ignore', 'inherit'] })
  },
  async step(rng, index) {
    const [name, { work, check, options = ['--root', '/tmp/retrap-roots/crash'] }] =
      Object.entries(CASES)[index % Object.keys(CASES).length]!
    const isSafe = index % Object.keys(CASES).length >= LOSING
    const words = [
      'crash-test',
      '--work',
      work,
      '--check',
      check,
      ...options,
      '--seed',
      `${rng.u32()}`,
      '--for',
      isSafe ? '60m' : '30s',
    ]
    const { code, stdout, stderr } = await runRetrap(words, { deadlineMs: 7_200_000 })
    const flushes = Number(/ (\d+) flushes in/.exec(stderr)?.[1])
    seen.push(`${name}: ${flushes} flushes; ${stdout.trim().split('\n').at(-1)}`)
    if (code !== (isSafe ? 0 : 1) || (isSafe && flushes < FLUSHES))
      return `${name}: code ${code}: ${stdout.slice(-3000)}${stderr.slice(-1000)}`
  },
  summary: () => seen.join('\n'),
}
