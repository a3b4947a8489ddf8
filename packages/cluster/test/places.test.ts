// Machines of a cluster beside each other: names, networks, the order of their programs, health, and restarts.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Cluster,
  type ClusterEvent,
  type ClusterGuest,
  type ClusterHost,
  type ClusterInput,
  ClusterRunFile,
  describeFault,
  type Fault,
  type GuestListener,
  type MachineInput,
  type PlacedMachine,
  readCluster,
  readPlan,
  RemoteHost,
  RunLog,
  type StartCondition,
  writeClusterRun,
} from '../src/index.ts'
import { linkBetween, Links } from '../src/links.ts'
import { MachinePrograms } from '../src/machine-programs.ts'
import { threadOf } from './threads.ts'

const A = { name: 'a', command: ['serve'] }
const HEALTH = { test: ['true'] }
const onDisk = (name: string, folder: string, copies?: object) => ({
  ...A,
  name,
  disk: { size: '8M', folders: { '/x': folder }, ...(copies && { copies }) } as MachineInput['disk'],
})
const small = { net: { subnet4: '10.5.0.0/30', subnet6: 'fd05::/64' } }
const inNet = (name: string, place: object = {}): MachineInput => ({ name, networks: { net: place } })
const after = (name: string, machine: string, when: StartCondition['when'] = 'started') => ({
  ...A,
  name,
  after: [{ machine, when }],
})

test.each<readonly [machines: readonly object[], message: string, networks?: ClusterInput['networks']]>([
  [[{ name: 'a b' }], 'machines[0].name: expected up to 63 letters, digits'],
  [[{ name: 'x'.repeat(62), count: 2 }], 'x-2: expected up to 63 letters'],
  [[{ name: 'Db' }, { name: 'db' }], 'machines: two of them have the name db'],
  [[A, after('b', 'c')], 'machine b: after: there is no machine c'],
  [[after('a', 'a')], 'machine a: after: it waits for itself: a, a'],
  [[after('a', 'b'), after('b', 'c'), after('c', 'a')], 'machine a: after: it waits for itself: a, b, c, a'],
  [[A, after('b', 'a', 'healthy')], 'machine b: after: a is never healthy'],
  [[{ ...A, restart: 'always' }, after('b', 'a', 'completed')], 'machine b: after: a is never completed'],
  [[{ name: 'b', health: HEALTH }], 'machines[0].health: b has no program'],
  [[{ ...A, restart: 'on-failure:x' }], 'machines[0].restart: expected a policy'],
  [[{ ...A, health: { ...HEALTH, interval: '0s' } }], 'machines[0].health.interval: expected 1ms or more'],
  [[{ name: 'x', machine: 'x.json', restart: 'no' }], 'machines[0].restart: a machine of its own'],
  [[A, { name: 'b', inside: 'c' }], 'machines[1].inside: c: expected the name of a machine'],
  [[A, { name: 'b', inside: 'a' }, { name: 'c', inside: 'b' }], 'machines[2].inside: b: expected the name of'],
  [[A, { name: 'b', inside: 'a', memory: '256M' }], 'machines[1].memory: b has that of a'],
  [[A, { name: 'b', inside: 'a', disk: { folders: { '/x': 'x' } } }], 'b is inside a: expected only `folders`'],
  [[{ name: 'a', disk: { folders: { '/x': 'x' } } }], 'machines[0].disk: expected its size'],
  [
    [onDisk('a', 'w'), onDisk('b', 'v', { v: 'a' })],
    'machine b: disk.copies: expected a machine a whose disk has a folder v',
  ],
  [[inNet('a')], 'machine a: networks: it has no network net: expected one of '],
  [[{ ...inNet('a'), network: 'none' }], 'machine a: networks: it has no network net: `network` is none', small],
  [[A], 'networks.y: 10.5.7.0/24 meets 10.5.0.0/16', { x: { subnet4: '10.5.0.0/16' }, y: { subnet4: '10.5.7.0/24' } }],
  [[A], 'networks.net: 10.5.0.0/31: expected /8 to /30', { net: { subnet4: '10.5.0.0/31' } }],
  [[A], 'networks.net.subnet6: expected a subnet such as fd05::/64', { net: { subnet6: 'fd05:::/64' } }],
  [[inNet('a', { ipv4: '10.5.0.4' })], 'networks.net: a: expected an address in 10.5.0.0/30, and not', small],
  [[inNet('a', { ipv6: 'fd06::1' })], "a: expected an address in fd05::/64, and not 'fd06::1'", small],
  [['a', 'b'].map((name) => inNet(name, { ipv4: '10.5.0.1' })), '10.5.0.1 is the address of a and b', small],
  [['a', 'b', 'c'].map((name) => inNet(name)), 'networks.net: 10.5.0.0/30 has no address left for c', small],
])('a description that does not fit: %j, %s', (machines, message, networks) =>
  expect(() => readCluster({ machines, networks })).toThrow(message),
)

test('a machine has the addresses that it names, or free ones', () => {
  const networks = { net: { subnet4: '10.5.9.0/24' }, constructor: {} }
  const alone: MachineInput = { name: 'alone', network: 'none' }
  const machines = [{ name: 'x' }, inNet('a'), inNet('b', { ipv4: '10.5.9.2', aliases: ['s'] }), alone]
  const cluster = readCluster({ machines, networks })
  expect(cluster.machines.map((one) => one.networks)).toEqual([
    [{ name: 'default', ipv4: '10.83.0.1/16', ipv6: 'fd83::1/64', aliases: [] }],
    [{ name: 'net', ipv4: '10.5.9.3/24', ipv6: 'fd84::2/64', aliases: [] }],
    [{ name: 'net', ipv4: '10.5.9.2/24', ipv6: 'fd84::3/64', aliases: ['s'] }],
    [],
  ])
  // A frame to all reaches the machines that share a network with its sender.
  const links = new Links(1, 4, (from, to) => linkBetween(cluster, from, to)).copy()
  const sent = [0, 1, 2, 3].map((from) => links.send({ from, ns: 0, frame: new Uint8Array(60).fill(0xff) }))
  expect(sent.map((found) => found.map(({ to }) => to))).toEqual([[], [2], [1], []])
})

test('any names that Docker allows go through descriptions, plans, lines and the file of a run', async () => {
  const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/)
  const names = fc.uniqueArray(name, { minLength: 2, maxLength: 5, selector: (one) => one.toLowerCase() })
  await fc.assert(
    fc.asyncProperty(names, async (all) => {
      const [one, other] = all as [string, string]
      const description = readCluster({ machines: all.map((each) => ({ name: each })), network: {} })
      const cut: Fault = { kind: 'partition', at: 0, for: 1, cut: [`${one}>${other}`] }
      const hang: Fault = { kind: 'hang', at: 0, for: 1, machines: [other] }
      const plan = { seed: 1, branch: 0, failure: '', faults: [cut, hang] }
      expect(readPlan(JSON.parse(JSON.stringify(plan)), description).faults).toEqual(plan.faults)
      expect(`${describeFault(cut)}; ${describeFault(hang)}`).toBe(
        `partition, ${one}>${other}, for 0 µs; hang, ${other}, for 0 µs`,
      )
      const result = { failure: undefined, ns: 9, faults: plan.faults, properties: [] }
      const run = new RunLog().run(1, 0, description, result)
      const parts: Uint8Array[] = []
      await writeClusterRun(run, [], (bytes) => parts.push(bytes.slice()))
      const bytes = Buffer.concat(parts)
      const part = (at: number, n: number): Uint8Array => new Uint8Array(bytes).subarray(at, at + n)
      const { run: read } = await ClusterRunFile.open({ bytes: bytes.length, read: part }, 'run')
      expect([read.description, read.faults]).toEqual([JSON.parse(JSON.stringify(description)), plan.faults])
    }),
    { numRuns: 30 },
  )
})

test('folders are copied in whole lines of base64, once, and only those that others wait for', () => {
  const { machines } = readCluster({ machines: [onDisk('a', 'v'), onDisk('b', 'v', { v: 'a' })] })
  const [a, b] = machines as [PlacedMachine, PlacedMachine]
  expect([a.restart, b.after]).toEqual(['no', [{ machine: 'a', when: 'completed', required: true }]])
  const programs = new MachinePrograms(machines)
  for (const line of ['v', 'v QUJD', 'v', 'v QUJD', 'w QUJD', 'v $(reboot)', 'v REVG'])
    programs.status(a, `copy ${line}`)
  const fork = new MachinePrograms(machines, programs)
  expect([fork.copiesOf(a), fork.copiesOf(b)]).toEqual([undefined, { v: 'QUJDREVG' }])
  fork.status(b, 'copied')
  expect([fork.copiesOf(b), fork.failure]).toEqual([undefined, undefined])
  programs.status(a, 'uncopied v has too much')
  expect(programs.failure).toBe('a folder of the disk of a is not copied: v has too much')
})

/** What a program does, by milliseconds from its start: a line of its status, or the code that it ends with. */
type Script = Readonly<Record<number, string | number>>
type Scripts = Readonly<Record<string, Script>>

interface Act {
  readonly ns: number
  readonly act: string | number
  readonly name: string
}

/** A machine that does what the script of its program says. All of its state is data. */
class Actor implements ClusterGuest {
  readonly card = { room: 0, take: () => [], deliver: () => undefined, hasten: () => undefined }
  readonly #script: Script
  readonly #listener: GuestListener
  #now: number
  #acts: Act[]

  constructor(script: Script, listener: GuestListener, now = 0, acts: readonly Act[] = []) {
    this.#script = script
    this.#listener = listener
    this.#now = now
    this.#acts = [...acts]
  }

  now = (): number => this.#now
  next = (): number => Math.min(Infinity, ...this.#acts.map(({ ns }) => ns))

  runTo(to: number): Promise<undefined> {
    const due = this.#acts.filter(({ ns }) => ns <= to).toSorted((one, other) => one.ns - other.ns)
    this.#acts = this.#acts.filter(({ ns }) => ns > to)
    for (const { ns, act, name } of due)
      if (typeof act === 'number') this.#listener.ended(ns, name, act)
      else this.#listener.status(ns, act)
    this.#now = Math.max(this.#now, to)
    return Promise.resolve(undefined)
  }

  start(name: string): Promise<void> {
    for (const [ms, act] of Object.entries(this.#script))
      this.#acts.push({ ns: this.#now + 1e6 * Number(ms), act, name })
    return Promise.resolve()
  }

  names = (named: readonly number[]): void => this.#listener.line(this.#now, `names ${named}`)
  kill = (): void => undefined
  turnClock = (): void => undefined
  disturb = (): void => undefined
  close = (): void => undefined
  digest = (): Promise<string> => Promise.resolve(`${this.#now} ${JSON.stringify(this.#acts)}`)
  fork = (listener: GuestListener): Promise<Actor> =>
    Promise.resolve(new Actor(this.#script, listener, this.#now, this.#acts))
}

describe('programs', () => {
  const hostOf = (scripts: Scripts): ClusterHost => ({
    make: ({ name }: PlacedMachine, _, listener) => Promise.resolve(new Actor(scripts[name] ?? {}, listener)),
  })

  const SCRIPTS = {
    a: { 50: 'starting no', 300: 'healthy', 900: 'unhealthy gone' },
    'b-1': { 5: 0 },
    'b-2': { 200: 0 },
    c: { 10: 'restarts 3' },
  }
  const MACHINES = [
    after('c', 'b', 'completed'),
    { ...after('b', 'a', 'healthy'), count: 2, restart: 'no' },
    { ...A, health: HEALTH },
  ]
  const list = ['b-1', 'c'].map((name) => ({ kind: 'crash', at: '100ms', for: '200ms', machines: [name] }) as const)

  /** @param forks - milliseconds after which it is forked */
  async function run(scripts: Scripts, required = true, forks: number[] = [], isRemote = false) {
    const machines = MACHINES.map((one) =>
      'after' in one ? { ...one, after: one.after.map((condition) => ({ ...condition, required })) } : one,
    )
    const value = { machines, resolver: true, faults: { for: '1s', heal: '100ms', list }, limit: '10s' }
    const told: string[] = []
    const onEvent = ({ ns, kind, machine = '-', text }: ClusterEvent): void => {
      if (kind !== 'fault' && (kind !== 'output' || machine === 'a'))
        told.push(`${Math.floor(ns / 1e6)} ${machine} ${text}`)
    }
    const host = isRemote ? new RemoteHost([threadOf(hostOf(scripts), 'thread')]) : hostOf(scripts)
    let cluster = await Cluster.start(readCluster(value), 1, host, { onEvent })
    await cluster.begin({ number: 0 })
    const ready = cluster.now
    for (const ms of forks) {
      await cluster.goOn(ready + 1e6 * ms)
      cluster = await cluster.fork({ onEvent })
    }
    await cluster.goOn()
    return { told, failure: cluster.failure }
  }

  test('start in their order, and a machine that starts again starts its program again, unless that is over', async () => {
    const first = await run(SCRIPTS)
    expect(first.failure).toBeUndefined()
    expect(first.told).toEqual([
      '0 - all machines run',
      '50 a not healthy yet: no',
      '300 a healthy',
      '300 a names 1,2,3',
      '305 b-1 its program ended with 0',
      '305 a names 2,3',
      '500 b-2 its program ended with 0',
      '500 - faults begin',
      '500 a names 0,3',
      '510 c its program ended with 3, and starts again',
      '600 a names 3',
      '800 a names 0,3',
      '810 c its program ended with 3, and starts again',
      '900 a unhealthy: gone',
      '1500 - all is mended',
    ])
    expect(await run(SCRIPTS, true, [], true)).toEqual(first)
    for (const forks of [[0], [50, 250, 260, 900]]) expect(await run(SCRIPTS, true, forks)).toEqual(first)
    expect(await run(SCRIPTS, true, [1, 290], true)).toEqual(first)
  })

  const unhealthy = { ...SCRIPTS, a: { 5: 'unhealthy refused' } }
  const failing = { ...SCRIPTS, 'b-2': { 5: 3 } }
  const last = '(the last test of its health that failed: refused), was not started within 10 s'
  test.each<readonly [object, boolean, string | undefined]>([
    [unhealthy, true, `the program of b-1, which waits until a is healthy ${last}`],
    [unhealthy, false, undefined],
    [failing, true, 'the program of b-2 ended with 3, and c waits until it has completed'],
    [failing, false, undefined],
  ])('of %j, required: %s, fail by: %s', async (scripts, required, why) => {
    const { failure } = await run(scripts as typeof SCRIPTS, required)
    expect(failure?.slice(0, why?.length)).toBe(why)
  })
})
