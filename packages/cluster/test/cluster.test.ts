import fc from 'fast-check'
import { buffer } from 'node:stream/consumers'
import { RecordingWriter } from '@retrap/recording'
import { TEST_LONG } from '@retrap/tooling/long'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { Simulation } from '../src/simulation.ts'
import { Draws } from '../src/draws.ts'
import {
  addressOf,
  Card,
  type CardClock,
  Cluster,
  ClusterError,
  simulated,
  type ClusterEvent,
  type ClusterGuest,
  type ClusterInput,
  type ClusterRun,
  ClusterLane,
  ClusterRunFile,
  clusterSchema,
  clusterTime,
  Disk,
  drawFaults,
  exploreBranches,
  type Fault,
  type GuestListener,
  machineTime,
  readCluster,
  RemoteHost,
  RemoteLane,
  serveGuests,
  serveLane,
  stateOf,
  type TimedMachine,
  RunLog,
  writeClusterRun,
} from '../src/index.ts'
import { type Link, Links, type LinkTrouble } from '../src/links.ts'
import { Novelty, shapesOf } from '../src/novelty.ts'
import { testCluster } from '../src/node/test-cluster.ts'
import { readReport } from '../src/reports.ts'
import { threadOf } from './threads.ts'

/** A machine that is nothing but timers, on a clock of its own that begins anywhere. */
class Puppet implements CardClock {
  readonly card = new Card()
  readonly #timers: { ns: number; act: () => void }[] = []
  #now: number

  constructor(start: number) {
    this.#now = start
    this.card.attach(this)
  }

  now = (): number => this.#now
  next = (): number => Math.min(Infinity, ...this.#timers.map(({ ns }) => ns))

  create(act: () => void) {
    const timer = { ns: Infinity, act }
    this.#timers.push(timer)
    return { armAfter: (ns: number) => void (timer.ns = this.#now + ns) }
  }

  after(ns: number, act: () => void): void {
    this.create(act).armAfter(ns)
  }

  runTo(ns: number): Promise<undefined> {
    for (let next = this.next(); next <= ns; next = this.next()) {
      this.#now = Math.max(this.#now, next)
      const timer = this.#timers.find((one) => one.ns === next)!
      timer.ns = Infinity
      timer.act()
    }
    this.#now = Math.max(this.#now, ns)
    return Promise.resolve(undefined)
  }
}

const LINK: Link = { latencyNs: 500_000, jitterNs: 200_000, bitsPerSecond: 1e9, loss: 0.05 }
const TROUBLE: LinkTrouble = { loss: 0.1, duplicate: 0.2, reorder: 0.2, corrupt: 0.1, delayNs: 30_000 }

/** What happens to talkative machines: each sends, and answers what it gets. */
async function talk(seed: number, steps: readonly number[], shift = 0, hasActs = false): Promise<string[]> {
  const links = new Links(seed, 3, () => LINK)
  const simulation = new Simulation(links, 3)
  const heard: string[] = []
  links.trouble(0, 1, TROUBLE)
  if (hasActs) {
    simulation.schedule(3_000_000, () => links.cut(0, 2, true))
    simulation.schedule(5_000_000, () => links.cut(0, 2, false))
    simulation.schedule(6_000_000, () => simulation.hang(1, 2_000_000))
  }
  for (const number of [0, 1, 2]) {
    const draws = new Draws(seed, `machine ${number}`)
    const start = shift * number
    const machine = new Puppet(start)
    const send = (): void => {
      const frame = new Uint8Array(20 + draws.below(1000))
      // One of the machines, or all.
      frame.set(draws.happens(0.2) ? new Uint8Array(6).fill(0xff) : addressOf(draws.below(3)))
      frame[14] = draws.below(256)
      machine.card.send(frame)
    }
    machine.card.connect({
      receive: (frame) => {
        heard.push(`${machine.now() + simulation.offsetOf(number)} ${number} ${frame.length} ${frame[14]}`)
        if (draws.happens(0.4)) send()
        return true
      },
      drained() {},
      linkChanged() {},
    })
    const tick = (): void => {
      send()
      if (machine.now() - start < 9e6) machine.after(draws.below(700_000), tick)
    }
    machine.after(draws.below(1e6), tick)
    simulation.add(number, machine)
  }
  for (const step of steps) await simulation.runTo(simulation.now + step)
  await simulation.runTo(2e7)
  return heard.toSorted()
}

test('a machine that may be forked drops its translations once: its clone has none', async () => {
  const puppet = new Puppet(0)
  let dropped = 0
  const clock = { now: puppet.now, read: () => undefined, skipTo: () => undefined }
  const vcpus = [{ dormant: false, mapChanged: () => void dropped++ }]
  const domain = { clock, vcpus, timers: puppet, stop: () => undefined, settleModels: () => Promise.resolve() }
  const run = (): Promise<object> => puppet.runTo(puppet.next()).then(() => ({ reason: 'stopped' }))
  const simulation = new Simulation(new Links(1, 2, () => LINK), 2)
  simulation.add(0, simulated({ domain, run } as unknown as TimedMachine, new Card()))
  await simulation.runTo(2e6)
  expect(dropped).toBe(0)
  simulation.rest()
  await simulation.runTo(8e6)
  expect(dropped).toBe(1)
})

test('what machines hear follows from the seed, and neither from windows nor from their clocks', async () => {
  const some = fc.array(fc.integer({ min: 1, max: 900_000 }), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(fc.nat(), some, fc.nat(1e9), async (seed, steps, shift) => {
      const heard = await talk(seed, [])
      expect(heard.length).toBeGreaterThan(10)
      expect(await talk(seed, steps, shift)).toEqual(heard)
      expect(await talk(seed, [], shift, true)).toEqual(await talk(seed, [], 0, true))
    }),
    { numRuns: 20 },
  )
})

test('machines that share a card are told apart by their addresses, also in frames to all', async () => {
  const simulation = new Simulation(new Links(1, 3, () => ({ ...LINK, loss: 0, jitterNs: 0 })), 3, [0, 0, 2])
  let heard = ''
  simulation.onFrame = (from, _, { to }) => void (heard += ` ${from}>${to}`)
  for (const [number, sender] of Object.entries({ 0: 1, 2: 2 })) {
    const puppet = new Puppet(0)
    const receive = (frame: Uint8Array): boolean => (heard += ` ${number}:${frame[5]}`) !== ''
    puppet.card.connect({ receive, drained() {}, linkChanged() {} })
    puppet.card.send(Uint8Array.of(...new Uint8Array(6).fill(0xff), ...addressOf(sender), 0))
    simulation.add(Number(number), puppet)
  }
  await simulation.runTo(1)
  await simulation.runTo(2e6)
  expect(heard).toBe(' 1>0 1>2 2>0 2>1 0:1 0:1 0:2 2:255')
})

test('a frame comes no earlier than its link allows, and each link draws from a sequence of its own', () => {
  const sends = fc.array(fc.tuple(fc.nat(2), fc.nat(2), fc.nat(1e6)), { maxLength: 60 })
  fc.assert(
    fc.property(fc.nat(), sends, (seed, all) => {
      const [whole, part] = [new Links(seed, 3, () => LINK), new Links(seed, 3, () => LINK)]
      for (const links of [whole, part]) links.trouble(0, 1, TROUBLE)
      let ns = 0
      for (const [from, to, gap] of all) {
        ns += gap
        const frame = new Uint8Array(100)
        frame.set(addressOf(to))
        const found = whole.send({ from, ns, frame })
        for (const one of found) expect(one.ns).toBeGreaterThanOrEqual(ns + whole.lookaheadNs)
        if (from === 0 && to === 1) expect(part.send({ from, ns, frame })).toEqual(found)
      }
    }),
  )
})

test('a disk that loses its power has what was flushed, and of later writes some sectors', async () => {
  const write = fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 20 }))
  const acts = fc.array(fc.oneof({ arbitrary: write, weight: 5 }, fc.constantFrom('flush', 'power', 'copy', 'crash')))
  await fc.assert(
    fc.asyncProperty(fc.nat(), acts, async (seed, all) => {
      let disk = new Disk(1 << 16, seed, 'disk')
      // The bytes that a sector may have: those that are durable, and those of later writes.
      let may = Array.from({ length: 128 }, () => [0])
      for (const [i, act] of all.entries()) {
        if (act === 'copy') disk = disk.copy()
        else if (act === 'crash') disk.reset()
        else if (act === 'power') disk.losePower()
        else if (act === 'flush') await disk.flush()
        const [at, count] = typeof act === 'string' ? [0, 0] : act
        if (count > 0) await disk.write(at * 512, new Uint8Array(count * 512).fill(i + 1))
        may = may.map((some, k) => (k >= at && k < at + count ? [...some, i + 1] : some))
        const found = new Uint8Array(1 << 16)
        await disk.read(0, found)
        for (const [k, some] of may.entries()) {
          if (act !== 'power') expect(found[k * 512]).toBe(some.at(-1))
          else expect(some).toContain(found[k * 512])
          if (act === 'power' || act === 'flush') may[k] = [found[k * 512 + 511]!]
        }
      }
    }),
  )
})

test.each([
  [{}, 0, 0],
  [{ flushNs: 100 }, 99, 20],
  [{ flushNs: 100 }, 100, 0],
  [{ losesFlushes: true }, 1000, 20],
])('of 20 disks with the trouble %j, %i ns after a flush, up to %i lose a write', async (trouble, ns, most) => {
  const losses = Array.from({ length: 20 }, async (_, seed) => {
    const disk = new Disk(4096, seed, 'disk')
    disk.trouble({ eio: 0, flushNs: 0, losesFlushes: false, ...trouble })
    await disk.write(0, new Uint8Array(512)).then(() => disk.flush())
    disk.attach({ now: () => ns })
    return disk.losePower().lost
  })
  const lost = (await Promise.all(losses)).reduce((sum, one) => sum + one)
  expect(lost >= most / 4 && lost <= most).toBe(true)
})

test.each([
  ['always no-loss ok {"n":1}', { kind: 'always', name: 'no-loss', ok: true, details: { n: 1 } }],
  ['always x fail not json', { kind: 'always', name: 'x', ok: false, details: 'not json' }],
  ['always x', undefined],
  ['found rows 7', { kind: 'found', name: 'rows', count: 7 }],
  ['reachable here', { kind: 'reachable', name: 'here', ok: true }],
  ['quiet 1.5', { kind: 'quiet', seconds: 1.5 }],
  ['{"antithesis_setup":{"status":"complete","details":null}}', { kind: 'setup-complete' }],
  [
    '{"antithesis_assert":{"assert_type":"reachability","must_hit":false,"hit":true,"condition":false,"message":"m","id":"i"}}',
    { kind: 'unreachable', name: 'm', ok: false },
  ],
])('report %s', (line, report) => expect(readReport(line)).toEqual(report))

const DESCRIPTION = {
  machines: [{ name: 'node', count: 2, command: ['serve'], disk: '8M' }, { name: 'client' }],
  workload: { on: 'client', setup: ['setup'], drivers: [['drive']], check: ['check'] },
  faults: { for: '10s', heal: '1s', partition: { every: '1s', for: '500ms' }, crash: { every: '2s', for: '1s' } },
}

const description = readCluster(DESCRIPTION)
const SECOND = { at: '1s', for: '1s' }
const PART = { every: '1s', for: '1s', amount: 0.1 }

test.each([
  [{ machines: [] }, 'machines: expected at least one machine'],
  [{ machines: [{ name: 'x', machine: 'x.json' }, { name: 'client' }], faults: { drift: PART } }, 'no drift'],
  [{ machines: [{ name: 'x', machine: 'x.json', env: { a: 'b' } }] }, 'machines[0].env: a machine of its own'],
  [{ machines: [{ name: '_a' }] }, 'machines[0].name: expected up to 63 letters'],
  [{ machines: [{ name: 'a' }, { name: 'a' }] }, 'machines: two of them have the name a'],
  [{ network: { latency: '3' } }, "network.latency: '3': expected a time"],
  [{ network: { links: [{ between: ['client', 'client'] }] } }, 'links[0].between: expected two machines'],
  [{ machines: undefined }, 'machines: expected a list of machines'],
  [{ machines: [{ name: 'a', disk: '1M' }] }, 'machines[0].disk: expected 8M to 64G (machine a)'],
  [{ machines: [{ name: 'a', memory: '4M' }] }, 'machines[0].memory: expected 128M to 3584M (machine a)'],
  [{ machines: [{ name: 'a', memory: '900G' }] }, 'machines[0].memory: expected 128M to 3584M (machine a)'],
  [{ faults: { hang: { every: '0s', for: '1s' } } }, 'faults.hang.every: so a run has more than 10000 faults'],
  [{ faults: { hang: { every: '1us', for: '1s' } } }, 'expected 3 ms or more'],
  [{ faults: { delay: { every: '1s', for: '1s', amount: 0.5 } } }, 'faults.delay.amount: expected a time'],
  [{ faults: { loss: { ...PART, amount: '1ns' } } }, 'faults.loss.amount: expected a part'],
  [{ faults: { drift: { ...PART, amount: 0.5 } } }, 'faults.drift.amount: expected a part from 0 to 0.1'],
  [{ faults: { list: [{ ...SECOND, kind: 'delay', amount: 0.5 }] } }, 'faults.list[0].amount: expected a time'],
  [{ workload: { on: 'nobody' } }, 'workload.on: there is no machine nobody'],
  [{ faults: { list: [{ ...SECOND, kind: 'partition', cut: ['x>node-1'] }] } }, 'no machine x'],
  [{ machines: [{ name: 'client' }], faults: { full: { every: '1s', for: '1s' } } }, 'full: no machine has a disk'],
  [{ faults: { list: [{ ...SECOND, kind: 'eio', amount: 1, machines: ['client'] }] } }, 'client has none'],
  [{ faults: { hang: { every: '1s', for: '1s', machines: ['x'] } } }, 'faults.hang: there is no machine x'],
  [{ faults: { list: [{ ...SECOND, kind: 'loss' }] } }, 'faults.list[0].amount: expected a part'],
  [{ faults: { for: '1s', list: [{ ...SECOND, kind: 'hang', machines: ['client'] }] } }, '1 s at most'],
])('a description that does not fit: %j', (part, message) =>
  expect(() => readCluster({ ...DESCRIPTION, ...part })).toThrow(message),
)

test('faults are drawn within their time, and the schema knows their kinds', () => {
  const { faults } = description
  const drawn = drawFaults(faults, ['node-1', 'node-2'], 3)
  expect(drawn.length).toBeGreaterThan(5)
  for (const { at, for: lasts } of drawn) expect(at + lasts).toBeLessThanOrEqual(faults.for)
  expect(drawn).not.toEqual(drawFaults(faults, ['node-1', 'node-2'], 4))
  const power = { every: 1e6, for: 1, machines: ['client'] }
  expect(drawFaults({ ...faults, rates: { power } }, ['node-1'], 3)[0]!.machines).toEqual(['client'])
  const partition = { every: 1e8, for: 1, machines: ['b'] }
  const cuts = drawFaults({ ...faults, rates: { partition } }, ['a', 'b', 'c'], 3).map(({ cut }) => cut!.join(' '))
  expect([...new Set(cuts)].toSorted()).toEqual(['b>a a>b b>c c>b', 'b>a b>c'])
  // The reference of the file is made of it.
  const schema = JSON.stringify(clusterSchema(), (name, value: object) => {
    if (name === 'properties') for (const field of Object.values(value)) expect(field).toHaveProperty('description')
    return value
  })
  expect(schema).toContain('"partition"')
})

const sourceOf = (all: Uint8Array) => ({ bytes: all.length, read: (at: number, n: number) => all.subarray(at, at + n) })

test('the file of a run has all of it, by parts; a bad one is refused with a sentence', async () => {
  // A machine that stands still from 30 to 130, and sends before and after.
  const offsets = [5, 20].map((ns) => ({ ns, offset: ns === 5 ? 10 : 110 }))
  const starts = [{ ns: 15, until: 400, recording: 'node-1.0', offsets }]
  const run: ClusterRun = {
    ...{ seed: 7, branch: 2, failure: undefined, madeWith: 'retrap 1, Linux 2', ns: 400, description },
    events: [{ ns: 1, kind: 'phase', text: 'é' }],
    faults: [{ kind: 'crash', at: 1, for: 2, machines: ['node-1'] }],
    machines: description.machines.map(({ name, number }) => ({ name, number, starts: number === 0 ? starts : [] })),
    frames: [
      { from: 0, to: 1, sent: 20, arrives: 90, causes: ['duplicate'], bytes: Uint8Array.of(1, 2, 3) },
      { from: 1, to: 0, sent: 30, causes: ['loss'], bytes: Uint8Array.of(4) },
    ],
  }
  expect([15, 30, 100, 130, 140].map((ns) => machineTime(starts[0]!, ns))).toEqual([5, 20, 20, 20, 30])
  expect([5, 19, 20, 30].map((ns) => clusterTime(starts[0]!, ns))).toEqual([15, 29, 130, 140])
  const [parts, recorded]: [Uint8Array[], Uint8Array[]] = [[], []]
  const writer = new RecordingWriter((bytes) => recorded.push(bytes.slice()), { machine: 'node-1' })
  for (let i = 0; i < 40; i++) writer.add('answer', { round: i, instructions: i }, 0, new Uint8Array(9999).fill(i))
  await writer.end()
  const source = sourceOf(Uint8Array.from(Buffer.concat(recorded)))
  await writeClusterRun(run, [{ name: 'node-1.0', source }], (bytes) => parts.push(bytes.slice()))
  const whole = Uint8Array.from(Buffer.concat(parts))
  const open = (bytes: Uint8Array) => ClusterRunFile.open(sourceOf(bytes), 'run')
  const file = await open(whole)
  expect(file.run).toEqual(run)
  const take = (one: ClusterRunFile) => buffer(one.recording('node-1.0'))
  expect((await take(file)).equals(source.read(0, Infinity))).toBe(true)
  // A release before had zeros in place of a checksum, which the sum of a header is less by.
  const old = Buffer.from(whole)
  const octal = (at: number): number => Number.parseInt(old.toString('latin1', at, at + 11), 8)
  for (let at = 0; old[at] !== 0; at += 512 + 512 * Math.ceil(octal(at + 124) / 512)) {
    const sum = octal(at + 148) - old.subarray(at + 500, at + 512).reduce((one, other) => one + other)
    old.fill(0, at + 500, at + 512).write(sum.toString(8).padStart(6, '0'), at + 148)
  }
  const text = old.toString('latin1').replace('"version":3', '"version":2')
  const changed = (from: string, to: string) => Uint8Array.from(Buffer.from(text.replace(from, to), 'latin1'))
  expect((await take(await open(changed('', '')))).equals(source.read(0, Infinity))).toBe(true)
  for (const [bytes, why] of [
    [new Uint8Array(2000).fill(7), "expected the file of a cluster's run"],
    [new Uint8Array(0), 'it has no run.json'],
    [whole.subarray(0, -1600), 'cut short'],
    [whole.subarray(0, -1), `cut short: it ends at byte ${whole.length - 1}`],
    [Buffer.concat([whole, new Uint8Array(1)]), 'damaged at its end'],
    [changed('"version":2', '"version":9'), 'this release reads versions 1 to 3'],
    [changed('"seed":7', '"seed":x'), 'it is not JSON'],
    [changed('"sent":20', '"sent":[]'), 'frames[0].sent: Invalid input'],
    [changed('"from":1', '"from":8'), 'frames[1]: there is no machine 8'],
    [changed('"bytes":1}', '"bytes":2}'), 'its frames have 5 bytes, and 4 are there'],
    [changed('"node-1.0"', '"node-1.7"'), 'it lacks the recording node-1.7'],
  ] as const)
    await expect(open(bytes)).rejects.toThrow(why)
  // A file of version 1 has the recording itself: here, what is the list of one.
  expect((await take(await open(changed('"version":2', '"version":1')))).length).toBeLessThan(2000)
  // Each byte is looked at when the whole is read.
  const trusted: number[] = []
  for (let at = 0; at < whole.length; at += TEST_LONG ? 1 : 3) {
    const bytes = whole.slice()
    bytes[at]! ^= 1 << (at % 8)
    const error: unknown = await open(bytes)
      .then(take)
      .catch((thrown: unknown) => thrown)
    if (!(error instanceof ClusterError && error.code === 'ERR_RUN')) trusted.push(at)
  }
  expect(trusted).toEqual([])
})

type Programs = Record<string, (listener: GuestListener, now: () => number) => number | undefined>

/** Makes puppets, whose programs are functions. @param starts - gets the names of machines that start and end */
class PuppetHost {
  readonly #programs: Programs
  readonly starts: string[] = []
  readonly turns: number[] = []

  constructor(programs: Programs) {
    this.#programs = programs
  }

  make = ({ name }: { readonly name: string }, _: unknown, listener: GuestListener): Promise<ClusterGuest> => {
    this.starts.push(name)
    return Promise.resolve(this.#guest(name, new Puppet(5), listener))
  }

  #guest(machine: string, puppet: Puppet, listener: GuestListener): ClusterGuest {
    return Object.assign(puppet, {
      start: (name: string, [word]: readonly string[]) => {
        const code = this.#programs[word!]?.(listener, puppet.now)
        if (name === 'main') puppet.card.send(new Uint8Array(60).fill(0xff))
        if (code !== undefined) puppet.after(1e6, () => listener.ended(puppet.now(), name, code))
        return Promise.resolve()
      },
      digest: () => Promise.resolve(`${puppet.now()}`),
      kill: () => undefined,
      turnClock: (ns: number) => void this.turns.push(ns),
      disturb: (kind: string, amount: number, of = 0) =>
        void this.starts.push(`${kind} ${amount}${of > 0 ? ` of ${of}` : ''}`),
      // At rest a puppet is nothing but its clock.
      fork: (other: GuestListener) => Promise.resolve(this.#guest(machine, new Puppet(puppet.now()), other)),
      close: () => void this.starts.push(`${machine} closed`),
    })
  }
}

const threadsOf = (host: PuppetHost, serve = serveGuests) => [1, 2].map((i) => threadOf(host, `Worker ${i}`, serve))

describe('a test of a cluster by a command', () => {
  const TOLD = '{"kind":"output","text":"x"}\n{"kind":"result","seed":1}\n'
  const cuts = [0, 9, 29, TOLD.length - 1, TOLD.length]

  test.each(cuts.flatMap((bytes) => ['exit()', 'kill(process.pid, 9)'].map((end) => ({ bytes, end }))))(
    'that ends after $bytes bytes of its answer, by $end, passes if that is all',
    async ({ bytes, end }) => {
      const program = `process.stdout.write(${JSON.stringify(TOLD.slice(0, bytes))}, () => process.${end})`
      const retrap = [process.execPath, '-e', program] as const
      const run = testCluster(DESCRIPTION as ClusterInput, { outputFolder: temporaryFolder('no-answer'), retrap })
      if (bytes === TOLD.length && end === 'exit()') await run
      else await expect(run).rejects.toMatchObject({ code: 'ERR_MACHINE' })
    },
  )
})

describe('a run', () => {
  async function run(programs: Programs, faults: Fault[], forks = false, isRemote = false) {
    const events: ClusterEvent[] = []
    const log = new RunLog()
    const host = new PuppetHost(programs)
    const onEvent = (event: ClusterEvent): void => void events.push(event)
    const maker = isRemote ? new RemoteHost(threadsOf(host)) : host
    const first = await Cluster.start(description, 1, maker, { onEvent, log })
    const cluster = forks ? await first.fork({ onEvent }) : first
    const result = await cluster.finish({ number: 0, faults })
    return { ...result, starts: host.starts, turns: host.turns, events, taken: log.run(1, 0, description, result) }
  }

  const sound: Programs = { setup: () => 0, drive: () => 0, check: () => 0 }
  const crash: Fault = { kind: 'power', at: 1e9, for: 1e9, machines: ['node-1'] }
  const says = (line: string) => (listener: GuestListener, now: () => number) => {
    listener.report(now(), line)
    return 0
  }

  test('starts its machines, those that crash again, and ends well; one that is forked or in threads does the same', async () => {
    const { failure, starts, events } = await run(sound, [crash])
    expect([failure, starts]).toEqual([undefined, ['node-1', 'node-2', 'client', 'node-1 closed', 'node-1']])
    expect(events.map(({ ns }) => ns)).toEqual(events.map(({ ns }) => ns).toSorted((one, other) => one - other))
    expect((await run(sound, [crash], true)).events).toEqual(events)
    for (const forks of [false, true]) expect((await run(sound, [crash], forks, true)).events).toEqual(events)
  })

  test('ends with a sentence where a thread ends, whatever it was asked last', async () => {
    for (let asked = 0, left = -1; left < 0; asked++) {
      const [one, other] = threadsOf(new PuppetHost(sound))
      left = asked
      const first = { ...one!, post: (it: unknown) => (left-- > 0 ? one!.post(it) : one!.end('no memory')) }
      const run = Cluster.start(description, 1, new RemoteHost([first, other!])).then((cluster) => cluster.finish())
      const why = await run.then(() => undefined, String)
      const expected = 'ClusterError: Worker 1, which runs machines, has ended: no memory'
      expect([asked, why]).toEqual([asked, left < 0 ? expected : undefined])
    }
  })

  test('goes on where faults meet: a machine that has crashed cannot hang', async () => {
    const hang: Fault = { kind: 'hang', at: 1.5e9, for: 1e9, machines: ['node-1'] }
    const clock: Fault = { kind: 'clock', at: 0, for: 3e9, amount: 5e9, machines: ['node-1'] }
    const full: Fault = { kind: 'full', at: 5e8, for: 2e9, machines: ['node-1'] }
    const { failure, turns, starts } = await run(sound, [clock, full, crash, hang])
    // The machine that was started again has the right time, and its disk is full still.
    expect([failure, turns]).toEqual([undefined, [5e9]])
    expect(starts.slice(3)).toEqual(['full 1', 'node-1 closed', 'node-1', 'full 1', 'full 0'])
  })

  test('has faults of a container, and those of its machine, which come once', async () => {
    const inner = { name: 'inner', inside: 'node', command: ['serve'], disk: { folders: { '/x': 'x' } } }
    const machines = [{ name: 'node', command: ['serve'], disk: '8M' }, inner, { name: 'client' }]
    const host = new PuppetHost(sound)
    const remote = new RemoteHost(threadsOf(host))
    const cluster = await Cluster.start(readCluster({ ...DESCRIPTION, machines }), 1, remote)
    const faults: Fault[] = [
      { kind: 'hang', at: 1e9, for: 1e9, machines: ['inner'] },
      { kind: 'slow-cpu', at: 1e9, for: 15e8, amount: 0.25, machines: ['node'] },
      { kind: 'full', at: 1e9, for: 2e9, machines: ['inner'] },
      { kind: 'power', at: 4e9, for: 1e9, machines: ['node', 'inner'] },
      { kind: 'memory', at: 45e8, for: 1e9, machines: ['inner'] },
    ]
    expect(await cluster.finish({ number: 0, faults })).toMatchObject({ failure: undefined })
    const begun = ['hang 1 of 1', 'slow-cpu 0.75', 'full 1', 'hang 0 of 1', 'slow-cpu 0', 'full 0']
    const again = ['node closed', 'node', 'memory 1 of 1', 'memory 0 of 1']
    expect(host.starts).toEqual(['node', 'client', ...begun, ...again])
  })

  test('is taken down: starts, clocks, and what became of frames', async () => {
    const off: Fault = { kind: 'crash', at: 1e9, for: 2e9, machines: ['node-1'] }
    const longer: Fault = { kind: 'power', at: 2e9, for: 2e9, machines: ['node-1'] }
    const hang: Fault = { kind: 'hang', at: 3e9, for: 2e9, machines: ['node-2'] }
    const cut: Fault = { kind: 'partition', at: 3e9, for: 2e9, cut: ['node-1>client'] }
    const { events, taken } = await run(sound, [off, longer, hang, cut])
    expect(taken.events).toEqual(events)
    const times = taken.machines.map(({ starts }) => starts.map(({ ns, until }) => [ns, until - taken.faultsBegin!]))
    const [begin, end] = [taken.faultsBegin!, taken.ns - taken.faultsBegin!]
    expect(times).toEqual([[[0, 1e9], [begin + 4e9, end]], [[0, end]], [[0, end]]]) // prettier-ignore
    expect(taken.machines[1]!.starts[0]!.offsets.map(({ offset }) => offset)).toEqual([-5, 2e9 - 5])
    expect(taken.frames.slice(-2).map(({ to, arrives, causes }) => [to, arrives, causes])).toEqual([
      [1, begin + 5e9, []],
      [2, undefined, ['partition']],
    ])
  })

  test('faults begin with setup-complete where the description says so, and forks do', async () => {
    const workload = { on: 'client', setup: 'setup-complete', drivers: [['drive']] }
    const waits = readCluster({ ...DESCRIPTION, workload, limit: '20s' })
    const begin = async (programs: Programs): Promise<unknown> => {
      const cluster = await Cluster.start(waits, 1, new PuppetHost(programs))
      const fork = await cluster.fork()
      const { failure } = await fork.finish({ number: 1, faults: [] })
      return [cluster.now < 2e7, failure]
    }
    expect(await begin({ ...sound, serve: says('setup-complete') })).toEqual([true, undefined])
    const failure = /^no program has reported setup-complete within 20 s of the cluster's time \(limit\)/
    expect(await begin(sound)).toEqual([false, expect.stringMatching(failure)])
  })

  test('fails by a stop, by its check, and by a property', async () => {
    const options = { signal: AbortSignal.abort() }
    const cluster = await Cluster.start(description, 1, new PuppetHost(sound), options)
    expect((await cluster.finish()).failure).toBe('it was stopped before its end')
    expect((await run({ ...sound, check: () => 3 }, [])).failure).toBe('check ended with 3')
    const { failure, properties } = await run({ ...sound, drive: says('always held fail {"k":1}') }, [])
    expect(failure).toBe('always held failed on client: {"k":1}')
    expect(properties).toEqual([{ kind: 'always', name: 'held', passed: 0, failed: 1 }])
    const drive: Programs[string] = (...to) =>
      ['promised n 7', 'found n 7', 'found n 6'].map((one) => says(one)(...to))[0]
    expect((await run({ ...sound, drive }, [])).failure).toBe('always n failed on client: {"promised":7,"found":6}')
  })

  test('a quiet time has no faults: those under way end, and none begins', async () => {
    const clock: Fault = { kind: 'clock', at: 1e9, for: 8e9, amount: 5e9, machines: ['client'] }
    const late: Fault[] = [2.2e9, 9e9].map((at) => ({ kind: 'loss', at, for: 1e9, amount: 1 }))
    const drift: Fault = { kind: 'drift', at: 1.1e9, for: 8e9, amount: 0.1, machines: ['client'] }
    const hang: Fault = { kind: 'hang', at: 1.2e9, for: 8e9, machines: ['node-2'] }
    // A machine that starts asks for quiet: at 0 s, and at 2 s.
    const all = [clock, crash, drift, hang, ...late]
    const { events, turns } = await run({ ...sound, serve: says('quiet 0.5') }, all)
    // A clock that has drifted for 0.9 s, and one of a machine that has stood still for 0.8 s.
    expect(turns.map((ns) => Math.round(ns / 1e7))).toEqual([500, -500, 80, -9])
    const told = events.filter(({ kind }) => kind === 'fault')
    expect(told.map(({ ns, text }) => `${Math.round(ns / 1e8)} ${text.split(',')[0]}`).join('; ')).toBe(
      '10 clock of 5 s; 10 power; 11 drift of 10 %; 12 hang; 20 power is over; 20 clock is over; 20 drift is over; 20 hang is over; 90 loss of 100 %; 100 loss is over',
    )
  })

  test('branches go on from those that have reached something new, and follow from the seed', async () => {
    const go = async (isBlind = false, first = 1, isRemote = false) => {
      const all: Fault[][] = []
      const host = new PuppetHost({ ...sound, serve: says('always up ok') })
      const lanes = isRemote
        ? threadsOf(host, serveLane).map((thread) => RemoteLane.start(description, 1, thread, {}))
        : [ClusterLane.start(description, 1, host)]
      const onBranch = (_: number, { faults }: { faults: readonly Fault[] }): void => void all.push([...faults])
      const options = { goesOn: () => all.length < 12, first, isBlind, onBranch }
      await exploreBranches(description, 1, await Promise.all(lanes), options)
      return all.slice(0, 12)
    }
    const [all, blind] = [await go(), await go(true)]
    expect(await go(false, 1, true)).toEqual(all)
    expect([all[0], (await go(true, 8))[0]]).toEqual([blind[0], blind[7]])
    const first = new Set(blind[0]!.map(({ at }) => at))
    const shared = (faults: Fault[]): number => faults.filter(({ at }) => first.has(at)).length
    expect(blind.slice(1).every((faults) => shared(faults) === 0)).toBe(true)
    expect(all.slice(1).some((faults) => shared(faults) > 1 && shared(faults) < faults.length)).toBe(true)
  })

  test('lines differ by more than numbers', () => {
    const novelty = new Novelty()
    const news = (...texts: string[]): number => {
      const { hear, reached } = shapesOf()
      for (const [ns, text] of texts.entries()) hear({ ns, kind: 'output', machine: 'node-1', text })
      return novelty.news(reached()).length
    }
    expect(news('term 3', 'leader 0xa3f')).toBe(4)
    expect(news('term 4', 'leader 0xb', 'term 12')).toBe(1)
    expect(news('term 9 lost')).toBe(2)
  })

  test('what is explored is reduced to the faults that are needed', async () => {
    // A second start of node-1 and one of node-2 in one run are too many.
    const again: string[] = []
    const check: Programs[string] = (...to) => {
      for (const line of ['sometimes met fail', 'reachable here']) says(line)(...to)
      return new Set(again.splice(0)).size === 2 ? 7 : 0
    }
    const host = new PuppetHost({ ...sound, check })
    const { make } = host
    host.make = (machine, start, listener) => {
      if (host.starts.length >= 3) again.push(machine.name)
      return make(machine, start, listener)
    }
    const lane = await ClusterLane.start(description, 1, host)
    const tries: boolean[] = []
    const onTry = (some: readonly Fault[], _: unknown, isSame: boolean): void => void (tries[some.length] = isSame)
    const { findings, branches, properties } = await exploreBranches(description, 1, [lane], {
      goesOn: () => true,
      onTry,
    })
    const { branch, result, faults } = findings[0]!
    expect([branches, result.failure]).toEqual([branch, 'check ended with 7'])
    expect(faults.map(({ machines }) => `crash ${machines}`).toSorted()).toEqual(['crash node-1', 'crash node-2'])
    expect([tries[2], tries.includes(false)]).toEqual([true, true])
    expect(properties.map((one) => [one.name, one.passed + one.failed, stateOf(one)])).toEqual([
      ['here', branches, 'held'],
      ['met', branches, 'never seen'],
    ])
    expect(stateOf({ kind: 'always', name: '', passed: 3, failed: 1 })).toBe('failed')
  })
})
