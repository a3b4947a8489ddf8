// How many states of a disk a crash test checks in a minute: SQLite with WAL and FULL, 200 inserts; each check reads all rows, and runs SQLite's
// own check. Processor time counts, of all threads, as if two processors did nothing else; the time that passed stands beside it. The other
// side boots a machine for each state, as `cluster run --plan` does. Usage: crash.bench.ts [SECONDS]; without them all states are looked at.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { exploreCrashes, readCluster, type WorkRun } from '@retrap/cluster'
import { hostOf, withLanes } from '../src/commands/cluster/workers.ts'
import { runOnce } from '../src/commands/cluster/once.ts'

const ROOT = fileURLToPath(new URL('../examples/cluster/real/root.sh', import.meta.url))
const WORK = `cd /data; { echo 'pragma journal_mode = wal; pragma synchronous = full; create table t(n integer primary key, text);'
  n=0; while [ $n -lt 200 ]; do n=$((n + 1)); echo "insert into t values ($n, hex(randomblob(300)));"; done; } | sqlite3 db`
const CHECK =
  "[ ! -s /data/db ] || sqlite3 /data/db 'pragma integrity_check; select count(*), sum(length(text)) from t'; exit 0"
const shell = (command: string): readonly string[] => ['/bin/sh', '-c', command]
const LANES = 2
const secondsSince = (begin: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(begin)
  return (user + system) / 1e6
}

export async function run([seconds = '600']: readonly string[]): Promise<void> {
  spawnSync('sh', [ROOT, 'crash', 'sqlite3', 'lmdb-utils', 'python3-lmdb', 'e2fsprogs', 'mount'], { stdio: 'inherit' })
  const description = readCluster({
    machines: [{ name: 'machine', root: '/tmp/retrap-roots/crash', disk: '32M', memory: '256M' }],
    network: { latency: '10ms', jitter: '0s' },
    workload: { on: 'machine', drivers: [shell(WORK)], check: shell(CHECK) },
    faults: { for: '5s', heal: '0s' },
  })
  const settings = { isForked: true, isCompiled: true }
  const parts = { file: 'cluster.json', machines: description.machines, settings }
  const signal = new AbortController().signal
  let [begin, passed, work]: [NodeJS.CpuUsage, number, WorkRun | undefined] = [process.cpuUsage(), 0, undefined]
  const options = {
    ...{ check: { machine: 'machine', words: shell(CHECK), limit: 60e9 }, seed: 1, tearBytes: 4096, signal },
    goesOn: () => performance.now() - passed < Number(seconds) * 1000,
    onWork: (ran: WorkRun) => void ([begin, passed, work] = [process.cpuUsage(), performance.now(), ran]),
    onState: () => undefined,
  }
  const report = await withLanes(
    { description, seed: 1, parts, signal, tell: () => undefined },
    LANES,
    async (lanes) => {
      const { states, disks } = await exploreCrashes(lanes, options)
      return { states, disks, used: secondsSince(begin), minutes: (performance.now() - passed) / 60_000 }
    },
  )
  const host = hostOf({ ...parts, settings: { ...settings, isForked: false } }, 1, () => undefined)
  const before = process.cpuUsage()
  const fault = {
    kind: 'power',
    at: (work!.result.ns - work!.begin) / 2,
    for: 1e6,
    machines: ['machine'],
    lost: [],
  } as const
  await runOnce({ file: 'cluster.json', description, seed: 1, host, how: { number: 0, faults: [fault] } }, {})
  await host.close()
  const rate = (report.states * 60 * LANES) / report.used
  const booted = (60 * LANES) / secondsSince(before)
  console.log(
    `crash: ${(rate / booted).toFixed(1)} x a run for each state (${rate.toFixed(0)} states a minute of two processors, goal 600, floor 200: ${report.states} states, ${report.disks} disks, in ${report.minutes.toFixed(1)} minutes; ${work!.log.flushes.length} flushes)`,
  )
}
