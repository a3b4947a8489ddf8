// Clusters drawn at random, each run twice: as it is, and in another way that is to change nothing: hot code interpreted, forked at
// instants of the run, a fork of a fork, recorded, in Workers, on a host that is late. Events, instructions and RAM of all machines are
// equal. Some grow trees of states: in one lane, and in others with memory for few states.
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  Cluster,
  type ClusterEvent,
  type ClusterGuest,
  explore,
  FAULT_KINDS,
  type Lane,
  readCluster,
  RunLog,
} from '@retrap/cluster'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { hostOf, withLanes } from '../../src/commands/cluster/workers.ts'
import { fetchKernelModules } from '@retrap/linux-guest/linux/debian-drivers'

/** A way in which a cluster is run. */
interface Way {
  readonly isCompiled: boolean
  /** Machines may be forked. */
  readonly isForked: boolean
  /** At which of the stops it is forked, one bit each. */
  readonly forks: number
  readonly isRecorded: boolean
  readonly workers: number
  /** The host is late by up to so many milliseconds, now and then. */
  readonly lateMs: number
}

export const PLAIN: Way = { isCompiled: true, isForked: false, forks: 0, isRecorded: false, workers: 1, lateMs: 0 }

/** Programs that serve on ports 7000 and 80, until the machine ends. */
const SERVERS = [
  'while :; do nc -l -p 7000 -e cat; done',
  'while :; do nc -l -p 7000 -e sh -c "date +%s; cat /proc/uptime"; done',
  'dd if=/dev/urandom of=/tmp/file bs=1k count=40 2>/dev/null; httpd -h /tmp; while :; do nc -l -p 7000 -e cat /tmp/file; done',
  'while :; do head -c 9 /dev/urandom | base64; sleep 0.07; done',
]

/** Programs that drive another machine, `$1`. */
const DRIVERS = [
  'for i in $(seq 12); do echo $i | nc -w 1 $1 7000 | md5sum; usleep 9000; done',
  'for i in 1 2 3; do nc -w 1 $1 7000 </dev/null | wc -c; wget -q -T 1 -O - http://$1/file | sha1sum; done',
  'ping -c 6 -i 0.1 -W 1 $1 | tail -n 2; ping6 -c 2 -W 1 $1 | tail -n 1',
  'nslookup name $1 2>&1 | tail -n 1; traceroute -n -m 2 -q 2 -w 1 $1',
  'syslogd -R $1 -L; for i in $(seq 20); do logger $i; usleep 20000; done; tail -n 1 /var/log/messages',
  'for i in 1 2 3 4 5; do (usleep ${i}1000; echo $i $(cat /proc/uptime)) & done; wait',
  'seq 3000 | shuf | tee /tmp/list | gzip | gunzip | sort -n | md5sum; md5sum </tmp/list; sync; df / | tail -n 1',
  'cd /data || exit; for i in 1 2 3; do dd if=/dev/urandom of=f$i bs=4k count=9 conv=fsync 2>/dev/null; done; md5sum f*; df . | tail -n 1',
  'cat /proc/interrupts /proc/stat | md5sum; cat /proc/sys/kernel/random/uuid',
  'echo sometimes done >/dev/retrap/report; echo "always even $([ $(($(date +%s) % 7)) != 0 ] && echo ok || echo fail)" >/dev/retrap/report',
]

const ROOTS = { 'x86-64': 'amd64', arm64: 'arm64' } as const
let folder = ''
const totals: Record<string, number> = {}
const count = (what: string, more: number | boolean): void => void (totals[what] = (totals[what] ?? 0) + Number(more))

const script = (text: string, ...words: string[]): string[] => ['/bin/sh', '-c', text, 'sh', ...words]

/** A description as it is written. */
function draw(rng: Rng) {
  const machines = Array.from({ length: rng.between(2, 5) }, (_, i) => {
    const arch = rng.chance(1, 3) ? 'arm64' : 'x86-64'
    return {
      ...{ name: `m${i}`, arch, root: ROOTS[arch], cpus: rng.chance(1, 4) ? 2 : 1 },
      memory: arch === 'arm64' ? '256M' : '512M',
      command: script(rng.pick(SERVERS)),
      ...(rng.chance(1, 4) && { disk: '32M' }),
    }
  })
  const link = (): object => {
    const latency = rng.between(150, 4000)
    const jitter = rng.below(latency - 100)
    return {
      ...{ latency: `${latency}us`, jitter: `${jitter}us`, loss: rng.pick([0, 0, 0.02]) },
      ...(rng.chance() && { bandwidth: rng.pick(['1Mbit', '100Mbit', '1Gbit']) }),
    }
  }
  const driver = (): string[] => script(rng.pick(DRIVERS), `m${rng.below(machines.length)}`)
  const amounts = { part: () => rng.between(1, 9) / 10, time: () => `${rng.between(1, 3000)}ms` }
  const rate = (kind: string, takes?: 'part' | 'time'): object => ({
    ...{ every: `${rng.between(200, 700)}ms`, for: `${rng.between(20, 300)}ms` },
    // A clock is fast by a tenth at most.
    ...(takes !== undefined && { amount: kind === 'drift' ? amounts.part() / 10 : amounts[takes]() }),
  })
  const hasDisk = machines.some((machine) => 'disk' in machine)
  const kinds = Object.entries(FAULT_KINDS).filter(([, { place }]) => (hasDisk || place !== 'disk') && rng.chance(1, 3))
  return {
    machines,
    network: { ...link(), links: rng.chance(1, 3) ? [{ between: ['m0', 'm1'], ...link() }] : [] },
    workload: {
      on: 'm0',
      setup: driver(),
      drivers: Array.from({ length: rng.between(1, 3) }, driver),
      check: script('date; cat /proc/uptime'),
    },
    faults: {
      ...{ for: '1500ms', heal: '300ms' },
      ...Object.fromEntries(kinds.map(([kind, { takesAmount }]) => [kind, rate(kind, takesAmount)])),
    },
    limit: '60s',
  }
}

/** Runs a cluster. @returns what can be seen of it */
export async function run(
  { value, seed, stops }: { readonly value: object; readonly seed: number; readonly stops: readonly number[] },
  way: Way,
  late: () => number,
): Promise<readonly string[]> {
  const description = readCluster(value)
  const { machines } = description
  const host = hostOf({ file: join(folder, 'cluster.json'), machines, settings: way }, way.workers, () => undefined)
  const guests = new Map<number, ClusterGuest>()
  const watched = (number: number, guest: ClusterGuest): ClusterGuest => {
    guests.set(number, guest)
    const [runTo, fork, close] = [guest.runTo.bind(guest), guest.fork.bind(guest), guest.close.bind(guest)]
    return Object.assign(guest, {
      async runTo(...to: Parameters<typeof runTo>) {
        if (late() < way.lateMs) await setTimeout(late())
        return runTo(...to)
      },
      fork: async (...more: Parameters<typeof fork>) => watched(number, await fork(...more)),
      close() {
        if (guests.get(number) === guest) guests.delete(number)
        close()
      },
    })
  }
  const parts = fs.mkdtempSync(join(folder, 'parts-'))
  if (way.isRecorded) host.record({ folder: parts, given: [] })
  const make = host.make.bind(host)
  host.make = async (machine, ...more) => watched(machine.number, await make(machine, ...more))
  const [events, begun]: [ClusterEvent[], Cluster[]] = [[], []]
  const onEvent = (event: ClusterEvent): void => void events.push(event)
  try {
    let cluster = await Cluster.start(description, seed, host, {
      onEvent,
      ...(way.isRecorded && { log: new RunLog() }),
    })
    begun.push(cluster)
    if ((way.forks & 1) !== 0) begun.push((cluster = await cluster.fork({ onEvent })))
    const faults = cluster.draw(0)
    await cluster.begin({ number: 0, faults })
    const ready = cluster.now
    for (const [i, stop] of stops.entries()) {
      await cluster.goOn(ready + stop)
      if (((way.forks >> (i + 1)) & 1) !== 0) begun.push((cluster = await cluster.fork({ onEvent })))
    }
    await cluster.goOn()
    const { failure, properties } = cluster
    const ordered = [...guests].toSorted(([one], [other]) => one - other)
    const digests = ordered.map(async ([number, guest]) => `m${number}: ${await guest.digest()}`)
    count('faults', faults.length)
    for (const { kind } of faults) count(kind, 1)
    return [
      ...events.map(({ ns, kind, machine = '-', text }) => `${ns} ${machine} ${kind} ${text}`),
      `${failure} ${JSON.stringify(properties)}`,
      ...(await Promise.all(digests)),
    ]
  } finally {
    for (const cluster of begun.toReversed()) cluster.close()
    await host.recorded()
    await host.close()
    fs.rmSync(parts, { recursive: true })
  }
}

/** Grows trees of few states, in lanes with memory for so many bytes. @returns what was reached, and found */
async function grow(value: object, seed: number, lanes: number, stateMemory: number): Promise<readonly string[]> {
  const description = readCluster(value)
  const settings = { isForked: true, isCompiled: true }
  const parts = { file: join(folder, 'cluster.json'), machines: description.machines, settings }
  const told: string[] = []
  const { signal } = new AbortController()
  const act = (open: readonly Lane[]): ReturnType<typeof explore> =>
    explore(description, seed, open, {
      goesOn: () => true,
      states: STATES,
      keepsGoing: true,
      onState: ({ result: { failure, ns }, ...state }) => void told.push(JSON.stringify({ ...state, failure, ns })),
      onMended: (state, { failure, ns }) => void told.push(`mended ${state} ${failure} ${ns}`),
    })
  const { findings, properties } = await withLanes(
    { description, seed, parts, signal, tell: () => undefined },
    lanes,
    act,
    stateMemory,
  )
  return [...told, JSON.stringify(findings), JSON.stringify(properties)]
}

/** States of all trees: some are in the second round. */
const STATES = 20

async function grownTwice(rng: Rng, value: object, seed: number): Promise<string | undefined> {
  const lanes = rng.pick([1, 2, 4])
  const memory = lanes === 1 ? 200 << 20 : rng.pick([200 << 20, 2 ** 33])
  rng.note('tree', () => JSON.stringify({ seed, lanes, memory, ...value }))
  count('trees', 1)
  const first = await grow(value, seed, 1, 2 ** 33)
  const second = await grow(value, seed, lanes, memory)
  const at = [...first, ''].findIndex((line, i) => line !== (second[i] ?? ''))
  return at < 0 ? undefined : `line ${at} of ${first.length}: ${first[at]}\nand then ${second[at]}`
}

export const soak: Soak = {
  name: 'cluster',
  count: 100,
  async setup() {
    folder = fs.mkdtempSync(join(tmpdir(), 'retrap-cluster-'))
    for (const arch of Object.values(ROOTS)) {
      const { busyboxPath } = await fetchKernelModules(arch, () => undefined)
      for (const one of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'var/log'])
        fs.mkdirSync(join(folder, arch, one), { recursive: true })
      fs.copyFileSync(busyboxPath, join(folder, arch, 'bin/busybox'))
      // Its shell has all other programs within.
      fs.symlinkSync('busybox', join(folder, arch, 'bin/sh'))
    }
  },
  async step(rng) {
    const value = draw(rng)
    const seed = rng.u32()
    const [isCompiled, isForked, workers] = [rng.chance(2, 3), rng.chance(2, 3), rng.pick([1, 2, 4])]
    const stops = Array.from({ length: rng.between(0, 3) }, () => rng.below(1_700_000_000)).toSorted((a, b) => a - b)
    const forks = isForked ? rng.between(1, 2 ** (stops.length + 1) - 1) : 0
    const isRecorded = !isForked && rng.chance()
    const way = { isCompiled, isForked, forks, isRecorded, workers, lateMs: rng.pick([0, 3]) }
    const { setup: _, ...workload } = value.workload
    if (rng.chance(1, 5)) return grownTwice(rng, { ...value, workload }, seed)
    rng.note('cluster', () => JSON.stringify({ seed, stops, way, ...value }))
    let state = seed | 1
    const late = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0) >>> 26
    const one = { value, seed, stops }
    const first = await run(one, PLAIN, late)
    const second = await run(one, way, late)
    for (const [name, is] of Object.entries(way)) count(name, Number(is))
    const at = [...first, ''].findIndex((line, i) => line !== (second[i] ?? ''))
    if (at >= 0) return `line ${at} of ${first.length}: ${first[at]}\nand then ${second[at]}`
  },
  teardown: () => fs.rmSync(folder, { recursive: true, force: true }),
  unreached: () => [...Object.keys(FAULT_KINDS), ...Object.keys(PLAIN), 'trees'].filter((what) => !(totals[what]! > 0)),
  summary: () => JSON.stringify(totals),
}
