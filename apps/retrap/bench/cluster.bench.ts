// A cluster of three Linux guests in one process: what it costs while nobody has anything to do, how fast its time passes while all of
// them are busy, what a fork of it takes, and how many ways `explore` goes in a minute: 10 s of three members of etcd, with faults.
// Processor time of the process counts, so that other programs of the host do not. Usage: cluster.bench.ts [idle|busy|fork|explore]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Cluster, type ClusterDescription, explore, readCluster } from '@retrap/cluster'
import { LinuxHost } from '../src/commands/cluster/host.ts'

const EXAMPLES = fileURLToPath(new URL('../examples/cluster/real/', import.meta.url))
const ETCD_ROOT = '/tmp/retrap-roots/etcd'
const SEED = 1
/** A machine that has just started still has work of its own. */
const SETTLE = ['sleep', '10']
const IDLE_SECONDS = 120
const BUSY_SECONDS = 3
const FORKS = 5
const BRANCHES = 3

export async function run(wanted: readonly string[]): Promise<void> {
  const wants = (name: string): boolean => wanted.length === 0 || wanted.includes(name)
  if (wants('idle')) {
    const seconds = await secondsOf([], IDLE_SECONDS)
    console.log(`cluster-idle: ${((100 * seconds) / IDLE_SECONDS).toFixed(2)} % of a processor, at real speed (goal 3)`)
  }
  if (wants('busy')) {
    const seconds = await secondsOf(['sh', '-c', 'while :; do :; done'], BUSY_SECONDS)
    console.log(`cluster-busy: ${(BUSY_SECONDS / seconds).toFixed(2)} s of three busy machines in a second`)
  }
  if (wants('fork') || wants('explore')) await ofEtcd(wants)
}

/** Processor seconds that so many seconds of three machines take. */
async function secondsOf(command: readonly string[], seconds: number): Promise<number> {
  const description = readCluster({
    machines: [{ name: 'node', count: 3, command }],
    workload: { on: 'node-1', setup: SETTLE },
    faults: { for: `${seconds}s`, heal: '0s' },
  })
  return withCluster(description, false, async (cluster) => {
    const begin = process.cpuUsage()
    await cluster.finish()
    return secondsSince(begin)
  })
}

async function ofEtcd(wants: (name: string) => boolean): Promise<void> {
  spawnSync('sh', [`${EXAMPLES}root.sh`, 'etcd', 'etcd-server', 'etcd-client'], { stdio: 'inherit' })
  const all = 'node-1:2379,node-2:2379,node-3:2379'
  const description = readCluster({
    machines: [
      {
        ...{ name: 'node', count: 3, root: ETCD_ROOT, share: [`${EXAMPLES}:/test`] },
        command: ['sh', '/test/etcd-member.sh', '3'],
      },
    ],
    workload: {
      on: 'node-3',
      setup: ['sh', '-c', `until etcdctl --endpoints ${all} endpoint health; do sleep 1; done`],
      drivers: [['python3', '/test/etcd-register.py', '3', '6']],
    },
    faults: { for: '10s', heal: '0s', partition: { every: '4s', for: '2s' } },
  })
  if (wants('fork'))
    await withCluster(description, true, async (cluster) => {
      const times: number[] = []
      for (let i = 0; i < FORKS; i++) {
        const begin = process.cpuUsage()
        const fork = await cluster.fork()
        times.push(1000 * secondsSince(begin))
        fork.close()
      }
      console.log(`cluster-fork: ${medianOf(times).toFixed(1)} ms of processor time (goal 50)`)
    })
  if (!wants('explore')) return
  const host = hostFor(description, true)
  try {
    const times: number[] = []
    let begin = process.cpuUsage()
    await explore(description, SEED, host, {
      // The first one finds code that no machine has run before.
      goesOn: () => times.length <= BRANCHES,
      onBranch(number, { failure, ns }) {
        if (failure !== undefined) throw new Error(`branch ${number}: ${failure}`)
        const seconds = secondsSince(begin)
        begin = process.cpuUsage()
        times.push(seconds)
        console.error(`branch ${number}: ${(ns / 1e9).toFixed(1)} s in ${seconds.toFixed(1)} s`)
      },
    })
    const aMinute = 60 / medianOf(times.slice(1))
    console.log(
      `cluster-explore: ${aMinute.toFixed(2)} branches in a minute of one processor (goal 60 of two, floor 20)`,
    )
  } finally {
    await host.close()
  }
}

const medianOf = (times: readonly number[]): number =>
  times.toSorted((one, other) => one - other)[times.length >> 1] ?? Number.NaN

const hostFor = ({ machines }: ClusterDescription, isForked: boolean): LinuxHost =>
  new LinuxHost({ file: `${EXAMPLES}etcd.json`, machines, ways: { isForked, isCompiled: true } }, console.error)

async function withCluster<T>(
  description: ClusterDescription,
  isForked: boolean,
  act: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const host = hostFor(description, isForked)
  const begin = process.cpuUsage()
  const cluster = await Cluster.start(description, SEED, host)
  console.error(`ready after ${secondsSince(begin).toFixed(1)} s`)
  try {
    return await act(cluster)
  } finally {
    cluster.close()
    await host.close()
  }
}

function secondsSince(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin)
  return (user + system) / 1e6
}
