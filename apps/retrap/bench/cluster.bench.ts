// A cluster of three Linux guests in one process: what it costs while nobody has anything to do, how fast its time passes while all of
// them are busy, what two Workers gain, what a fork of it takes, and how many states `explore` reaches in a minute: of three members of
// etcd, with faults in each stretch, mended in forks, in two lanes. Processor time of the process counts, all of its threads', so that other
// programs of the host do not; for `explore` the time that passes stands beside it. Usage: cluster.bench.ts [idle|busy|workers|fork|explore]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Cluster, type ClusterDescription, explore, exploreBranches, readCluster } from '@retrap/cluster'
import type { HostParts } from '../src/commands/cluster/host.ts'
import { hostOf, withLanes } from '../src/commands/cluster/workers.ts'

const EXAMPLES = fileURLToPath(new URL('../examples/cluster/real/', import.meta.url))
const ETCD_ROOT = '/tmp/retrap-roots/etcd'
const SEED = 1
/** A machine that has just started still has work of its own. */
const SETTLE = ['sleep', '10']
const IDLE_SECONDS = 120
const BUSY = ['sh', '-c', 'while :; do :; done']
const BUSY_SECONDS = 3
const FORKS = 5
const BRANCHES = 6
/** Stretches that are measured, the three rounds before them, and the seconds of a state. */
const [STATES, WARM] = [32, 28]
const STATE_SECONDS = 2
/** The processors that the goal is for. */
const LANES = 2

export async function run(wanted: readonly string[]): Promise<void> {
  const wants = (name: string): boolean => wanted.length === 0 || wanted.includes(name)
  if (wants('idle')) {
    const { all: seconds } = await secondsOf([], IDLE_SECONDS)
    console.log(`cluster-idle: ${((100 * seconds) / IDLE_SECONDS).toFixed(2)} % of a processor, at real speed (goal 3)`)
  }
  if (wants('busy')) {
    const { all: seconds } = await secondsOf(BUSY, BUSY_SECONDS)
    console.log(`cluster-busy: ${(BUSY_SECONDS / seconds).toFixed(2)} s of three busy machines in a second`)
  }
  if (wants('workers'))
    for (const machines of [2, 3, 4]) {
      // A machine stays in its Worker: of three that are equally busy, one Worker has two in each window.
      const most = Math.ceil(machines / WORKERS) / machines
      const one = await secondsOf(BUSY, BUSY_SECONDS, machines)
      const { all, thread } = await secondsOf(BUSY, BUSY_SECONDS, machines, WORKERS)
      const times = one.all / (thread + (all - thread) * most)
      console.log(
        `cluster-workers: with ${machines} busy machines two Workers are ${times.toFixed(2)} × one, by the processor time of the cluster's thread and the fuller Worker (${(1 / most).toFixed(1)} at most; goal 1.7)`,
      )
    }
  if (wants('fork') || wants('explore')) await ofEtcd(wants)
}

const WORKERS = 2

/** Processor seconds that so many seconds of machines take: of the process, and of this thread. */
async function secondsOf(
  command: readonly string[],
  seconds: number,
  count = 3,
  workers = 1,
): Promise<{ readonly all: number; readonly thread: number }> {
  const description = readCluster({
    machines: [{ name: 'node', count, command }],
    workload: { on: 'node-1', setup: SETTLE },
    faults: { for: `${seconds}s`, heal: '0s' },
  })
  const act = async (cluster: Cluster) => {
    const [begin, threadBegin] = [process.cpuUsage(), process.threadCpuUsage()]
    await cluster.finish()
    const { user, system } = process.threadCpuUsage(threadBegin)
    return { all: secondsSince(begin), thread: (user + system) / 1e6 }
  }
  return withCluster(description, false, act, workers)
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
      drivers: [['python3', '/test/etcd-register.py', '3', '12']],
    },
    faults: { for: '10s', heal: '0s', partition: { every: '2s', for: '1s' } },
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
  const { signal } = new AbortController()
  const cluster = { description, seed: SEED, parts: partsFor(description, true), signal, tell: console.error }
  const perMinute = (seconds: number, used: number): string =>
    ((60 * LANES * seconds) / STATE_SECONDS / used).toFixed(1)
  await withLanes(cluster, LANES, async (lanes) => {
    let [ended, seconds] = [0, 0]
    // The first stretches of a lane find code that no machine has run before. Forks that are mended count for their time only.
    let [begin, from] = [process.cpuUsage(), performance.now()]
    const { states } = await explore(description, SEED, lanes, {
      goesOn: () => ended < WARM + STATES,
      keepsGoing: true,
      onState({ path }) {
        ended++
        if (ended > WARM) seconds += path.at(-1)!.for / 1e9
        if (ended === WARM) [begin, from] = [process.cpuUsage(), performance.now()]
      },
    })
    const [used, passed] = [secondsSince(begin), (performance.now() - from) / 1000]
    console.log(
      `cluster-explore: ${perMinute(seconds, used)} states of ${STATE_SECONDS} s in a minute of two processors (goal 60, floor 30), ` +
        `${states} different ones; ${(used / seconds).toFixed(2)} s of processor time for a second of theirs, in ${passed.toFixed(0)} s`,
    )
  })
  await withLanes(cluster, LANES, async (lanes) => {
    let [ended, seconds] = [0, 0]
    let begin = process.cpuUsage()
    await exploreBranches(description, SEED, lanes, {
      goesOn: () => ended < LANES + BRANCHES,
      onBranch(_, { ns }) {
        seconds += (ns - lanes[0]!.begin) / 1e9
        if (++ended === LANES) [begin, seconds] = [process.cpuUsage(), 0]
      },
    })
    console.log(
      `cluster-explore-from-start: ${perMinute(seconds, secondsSince(begin))} of the same by branches that begin where all is ready`,
    )
  })
}

const medianOf = (times: readonly number[]): number =>
  times.toSorted((one, other) => one - other)[times.length >> 1] ?? Number.NaN

const partsFor = ({ machines }: ClusterDescription, isForked: boolean): HostParts => ({
  ...{ file: `${EXAMPLES}etcd.json`, machines },
  settings: { isForked, isCompiled: true },
})

async function withCluster<T>(
  description: ClusterDescription,
  isForked: boolean,
  act: (cluster: Cluster) => Promise<T>,
  workers = 1,
): Promise<T> {
  const host = hostOf(partsFor(description, isForked), workers, console.error)
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
