import fc from 'fast-check'
import { crc32 } from 'node:zlib'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { STOPPED } from '../src/cluster.ts'
import { Draws } from '../src/draws.ts'
import { failureOf } from '../src/test-commands.ts'
import {
  addressOf,
  Card,
  Cluster,
  type ClusterEvent,
  type ClusterGuest,
  type ClusterHost,
  type ClusterInput,
  ClusterLane,
  type Disk,
  explore,
  type Fault,
  FAULT_KINDS,
  type FaultName,
  faultsOf,
  type GuestListener,
  type Lane,
  type MachineStart,
  type PlacedMachine,
  readCluster,
  readPlan,
  seedOfPlan,
  type Stretch,
  type TestCommand,
} from '../src/index.ts'

/** A machine that talks: at instants that it draws it prints, reports, sends frames and writes to its disk. All of its state is data. */
class Talker implements ClusterGuest {
  readonly card: Card
  readonly #parts: TalkerParts
  readonly #draws: Draws
  #now = 0
  #next: number
  #frames = Infinity
  #changes = Infinity
  #sum = 0
  /** Programs that run, with the instants of their ends. */
  readonly #programs: Map<string, number>

  constructor(parts: TalkerParts, { draws, now, next, sum, programs, card }: TalkerState) {
    this.#parts = parts
    this.#draws = draws
    this.#now = now
    this.#next = next
    this.#sum = sum
    this.#programs = new Map(programs)
    this.card = card
    card.connect({
      receive: (frame) => {
        this.#note(frame.length * 31 + frame[14]!)
        return true
      },
      drained: () => undefined,
      linkChanged: () => undefined,
    })
    card.attach({
      now: this.now,
      create: (act) => {
        this.#deliver = act
        return { armAfter: (ns) => void (this.#frames = this.#now + ns) }
      },
    })
    const timer = (act: () => void) => {
      this.#tell = act
      return { armAfter: (ns: number) => void (this.#changes = this.#now + ns) }
    }
    parts.disk?.attach({ now: this.now }, { timer })
  }

  #tell: () => void = () => undefined
  #deliver: () => void = () => undefined
  now = (): number => this.#now
  next = (): number => Math.min(this.#next, this.#frames, this.#changes, ...this.#programs.values())

  async runTo(ns: number): Promise<undefined> {
    for (let next = this.next(); next <= ns; next = this.next()) {
      this.#now = Math.max(this.#now, next)
      if (next === this.#frames) {
        this.#frames = Infinity
        this.#deliver()
      } else if (next === this.#changes) {
        this.#changes = Infinity
        this.#tell()
      } else if (next === this.#next) {
        this.#next = this.#now + 1 + this.#draws.below(90_000_000)
        await this.#act()
      } else
        for (const [name, at] of this.#programs)
          if (at === next && this.#programs.delete(name))
            this.#parts.listener.ended(this.#now, name, /^(check|eventually)/.test(name) ? this.#sum % 2 : 0)
    }
    this.#now = Math.max(this.#now, ns)
  }

  async #act(): Promise<void> {
    const { name, machines, disk, listener } = this.#parts
    const what = this.#draws.below(4)
    this.#note(JSON.stringify(disk?.properties.delays ?? '').length)
    if (this.#draws.happens(0.01)) listener.report(this.#now, 'quiet 0.2')
    if (what === 0) listener.line(this.#now, `${name} has ${this.#sum % 50}`)
    else if (what === 1) listener.report(this.#now, `explore sum ${this.#sum % 7}`)
    else if (what === 2) {
      const frame = new Uint8Array(60)
      frame.set(addressOf(this.#draws.below(machines)))
      frame[14] = this.#sum
      this.card.send(frame)
    } else if (disk !== undefined) {
      const bytes = new Uint8Array(512).fill(this.#sum)
      const write = disk.write(512 * this.#draws.below(64), bytes)
      await write.then(() => (this.#sum % 3 === 0 ? disk.flush() : undefined)).catch(() => this.#note(13))
      const found = new Uint8Array(1 << 15)
      await disk.read(0, found).catch(() => undefined)
      this.#note(found.reduce((sum, byte) => (sum * 33 + byte) | 0, 0))
    }
  }

  #note(value: number): void {
    this.#sum = (Math.imul(this.#sum, 31) + value) >>> 0
  }

  start(name: string): Promise<void> {
    const most = name.startsWith('anytime') ? 3e9 : 7e8
    if (name !== 'main') this.#programs.set(name, this.#now + 1 + this.#draws.below(most))
    return Promise.resolve()
  }

  // Programs whose names end with an odd number are killed late.
  kill = (name: string): void => void this.#programs.set(name, this.#now + (/[13579]$/.test(name) ? 9e7 : 1))
  turnClock = (ns: number): void => this.#note(ns)
  disturb = (kind: string, amount: number): void => this.#note(kind.length + Math.round(1000 * amount))
  digest = (): Promise<string> => Promise.resolve(`${this.#parts.name} ${this.#sum} ${this.next()}`)
  close = (): void => undefined

  fork(listener: GuestListener, disk: unknown): Promise<Talker> {
    const parts = { ...this.#parts, disk: disk as Disk | undefined, listener }
    const [now, next, sum, programs] = [this.#now, this.#next, this.#sum, this.#programs]
    return Promise.resolve(
      new Talker(parts, { draws: this.#draws.copy(), now, next, sum, programs, card: this.card.copy() }),
    )
  }
}

interface TalkerParts {
  readonly name: string
  readonly machines: number
  readonly disk: Disk | undefined
  readonly listener: GuestListener
}

interface TalkerState {
  readonly draws: Draws
  readonly now: number
  readonly next: number
  readonly sum: number
  readonly programs: ReadonlyMap<string, number>
  readonly card: Card
}

const MACHINES = 3

const HOST: ClusterHost = {
  make({ name }: PlacedMachine, { seed, disk }: MachineStart, listener: GuestListener) {
    const draws = new Draws({ mix32: seed }, name)
    const parts = { name, machines: MACHINES, disk: disk as Disk | undefined, listener }
    return Promise.resolve(new Talker(parts, { draws, now: 0, next: 1, sum: 0, programs: new Map(), card: new Card() }))
  },
}

const WORKLOAD = { on: 'client', setup: ['setup'], drivers: [['drive'], ['drive']], check: ['check'] }
const AMOUNTS = { part: 0.3, time: '40ms' }

/** A cluster that has faults of the given kinds, each about twice a second. */
const clusterOf = (kinds: readonly FaultName[], workload: ClusterInput['workload'] = WORKLOAD) =>
  readCluster({
    machines: [{ name: 'node', count: 2, disk: '8M' }, { name: 'client' }],
    network: { latency: '2ms', jitter: '500us' },
    workload,
    faults: {
      ...{ for: '6s', heal: '1s', list: [{ kind: 'hang', at: '2500ms', for: '1s', machines: ['node-2'] }] },
      ...Object.fromEntries(
        kinds.map((kind) => {
          const { takesAmount } = FAULT_KINDS[kind]
          const amount = kind === 'drift' ? 0.05 : takesAmount && AMOUNTS[takesAmount]
          return [kind, { every: '500ms', for: '300ms', ...(amount !== undefined && { amount }) }]
        }),
      ),
    },
  })

const kindsOf = fc.subarray(Object.keys(FAULT_KINDS) as FaultName[], { minLength: 2, maxLength: 9 })

/** What can be seen of a cluster that goes on to some instants, and to its end. */
async function seen(
  kinds: readonly FaultName[],
  seed: number,
  stops: readonly number[],
  forks: readonly (boolean | 'aside')[],
  { events = [], workload }: { events?: ClusterEvent[]; workload?: ClusterInput['workload'] } = {},
) {
  const onEvent = (event: ClusterEvent): void => void events.push(event)
  let cluster = await Cluster.start(clusterOf(kinds, workload), seed, HOST, { onEvent })
  await cluster.begin({ number: 3 })
  for (const [i, stop] of stops.entries()) {
    await cluster.goOn(stop)
    if (forks[i] === true) cluster = await cluster.fork({ onEvent })
    // The fork goes to its end, and the original after it.
    else if (forks[i] === 'aside') await cluster.fork().then((fork) => fork.goOn())
  }
  await cluster.goOn()
  return [...events.map((event) => JSON.stringify(event)), cluster.failure, await cluster.mark()]
}

test('a cluster that is forked at the end of any window goes on as it is: faults, frames, disks, clocks and programs', async () => {
  const stops = fc.array(fc.integer({ min: 1, max: 8_000 }), { minLength: 1, maxLength: 6 })
  const forks = fc.array(fc.boolean(), { minLength: 6, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(kindsOf, fc.nat(), stops, forks, async (kinds, seed, all, isFork) => {
      const instants = all.map((ms) => ms * 1e6).toSorted((one, other) => one - other)
      expect(await seen(kinds, seed, instants, isFork)).toEqual(await seen(kinds, seed, instants, []))
    }),
    { numRuns: 40 },
  )
})

describe('test templates', () => {
  const kinds = ['first', 'parallel_driver', 'serial_driver', 'singleton_driver', 'anytime', 'eventually', 'finally']
  const command = fc.tuple(fc.constantFrom(...kinds), fc.constantFrom('node-1', 'node-2', 'client'))
  const template = fc
    .array(command, { minLength: 1, maxLength: 9 })
    .filter((some) => some.some(([kind]) => /driver|anytime/.test(kind)))
    .map((some) => some.map(([kind, on], i) => ({ kind, on, command: [`${kind}_${i}`] }) as TestCommand))
  const templates = fc.dictionary(fc.constantFrom('one', 'two', 'three'), template, { minKeys: 1 })

  /** Goes through the events of a run. @returns how many commands of each kind have started */
  function check(events: readonly ClusterEvent[], wanted: Readonly<Record<string, readonly TestCommand[]>>) {
    const running = new Map<string, string | undefined>()
    const counts: Record<string, number> = {}
    let [phase, lost, some] = ['', false, [] as readonly TestCommand[]]
    for (const { kind, text, machine } of events) {
      const [, name, file = ''] = /^((\w+)_\d+ #\d+) starts$/.exec(text) ?? []
      if (kind === 'ended') running.delete(text.replace(/ ended.*/, ''))
      else if (kind === 'fault' && /^(crash|power),/.test(text)) {
        for (const [one, on] of running)
          if (text.includes(on!) && running.delete(one)) lost ||= !one.startsWith('anytime')
      } else if (text.endsWith(' is killed')) {
        expect([phase, running.get(text.slice(0, -10))]).toEqual(['all is mended', machine])
        counts['killed'] = (counts['killed'] ?? 0) + 1
      } else if (kind === 'phase' && name === undefined) {
        if (text.startsWith('test template')) some = wanted[text.slice(14)]!
        else phase = text
      } else if (name !== undefined) {
        const drivers = [...running.keys()].filter((one) => !one.startsWith('anytime'))
        expect(some).toContainEqual({ kind: file, on: machine, command: [name.replace(/ .*/, '')] })
        if (file === 'first') expect([phase, counts]).toEqual(['all machines run', {}])
        else if (/eventually|finally/.test(file)) expect([phase, running.size]).toEqual(['all is mended', 0])
        else expect(phase).toBe('faults begin')
        if (file === 'finally') expect([lost, counts['killed']]).toEqual([false, undefined])
        if (file === 'parallel_driver') expect(drivers.filter((one) => !one.startsWith(file))).toEqual([])
        else if (/driver/.test(file)) expect(drivers).toEqual([])
        counts[file] = (counts[file] ?? 0) + 1
        running.set(name, machine)
      }
    }
    const { first = 0, singleton_driver: alone = 0, parallel_driver, serial_driver } = counts
    expect(first).toBe(some.some(({ kind }) => kind === 'first') ? 1 : 0)
    if (alone > 0) expect([alone, parallel_driver, serial_driver]).toEqual([1, undefined, undefined])
    return counts
  }

  test('run as their prefixes say, as drawn from the seed, and alike in a fork', async () => {
    const stops = fc.array(fc.integer({ min: 1, max: 8_000 }), { minLength: 1, maxLength: 4 })
    const faults = fc.subarray<FaultName>(['power', 'crash', 'hang', 'slow-cpu', 'partition', 'stall'])
    const all: Record<string, number> = {}
    const property = fc.asyncProperty(faults, fc.nat(), stops, templates, async (some, seed, ms, wanted) => {
      const instants = ms.map((one) => one * 1e6).toSorted((one, other) => one - other)
      const events: ClusterEvent[] = []
      const workload = { templates: wanted }
      const whole = await seen(some, seed, instants, [], { events, workload })
      expect(await seen(some, seed, instants, [true, 'aside', true, 'aside'], { workload })).toEqual(whole)
      for (const [kind, count] of Object.entries(check(events, wanted))) all[kind] = (all[kind] ?? 0) + count
    })
    await fc.assert(property, { numRuns: 60 })
    expect(Object.keys(all).toSorted()).toEqual([...kinds, 'killed'].toSorted())
  })

  test.each([
    [0, undefined],
    [3, 'a ended with 3: on b'],
    [127, 'a ended with 127: on b: it cannot be executed, or the interpreter that its first line names is not there'],
  ])('that end with %i', (code, why) => expect(failureOf({ kind: 'first', on: 'b', command: ['a'] }, code)).toBe(why))

  test.each([
    [{ drivers: [['a']] }, 'workload.on: expected the machine that setup, drivers and check run on'],
    [{ templates: { t: [{ kind: 'anytime', on: 'x', command: ['a'] }] } }, 't[0].on: there is no machine x'],
    [
      { templates: { t: [{ kind: 'first', on: 'client', command: ['a'] }] } },
      't: no executable of it runs while faults come',
    ],
  ] as const)('%j is refused', (workload, why) => expect(() => clusterOf([], workload)).toThrow(why))
})

describe('trees of states', () => {
  const kinds: FaultName[] = ['power', 'partition', 'loss', 'stall', 'hang', 'clock']
  const description = clusterOf(kinds)

  const grow = async (lanes: number, stateBytes?: number, of = description, most = 40) => {
    const told: string[] = []
    const paths: (readonly Stretch[])[] = []
    const open = Array.from({ length: lanes }, () =>
      ClusterLane.start(of, 7, HOST, stateBytes === undefined ? {} : { stateBytes }),
    )
    const { findings, states, properties } = await explore(of, 7, await Promise.all(open), {
      goesOn: () => true,
      states: most,
      keepsGoing: true,
      onState({ state, from, path, result, news, rarest }) {
        paths.push(path)
        told.push(JSON.stringify([state, from, path, result.failure, result.ns, news, rarest]))
      },
      onMended: (state, { failure, ns }) => void told.push(`${state} ${failure} ${ns}`),
    })
    return { told, paths, found: JSON.stringify([findings, states, properties]) }
  }

  test('follow from the seed, on one lane or several, whatever is kept', async () => {
    const [one, two, three] = [await grow(1), await grow(2), await grow(3, 1)]
    expect([two.told, two.found]).toEqual([one.told, one.found])
    expect([three.told, three.found]).toEqual([one.told, one.found])
    expect(one.told.length).toBeGreaterThan(40)
    expect(Math.max(...one.paths.map((path) => path.length))).toBeGreaterThan(1)
  })

  test('with a test template follow from the seed, whatever is kept', async () => {
    const kinds = ['first', 'parallel_driver', 'serial_driver', 'anytime', 'finally', 'eventually'] as const
    const commands = kinds.map((kind, i) => ({ kind, on: `node-${1 + (i % 2)}`, command: [kind] }))
    const of = clusterOf(['power', 'loss', 'hang'], { templates: { one: commands, two: commands.slice(1) } })
    const [one, three] = [await grow(1, undefined, of, 12), await grow(3, 1, of, 12)]
    expect([three.told, three.found]).toEqual([one.told, one.found])
    expect(one.found).toContain('eventually ended with 1: on node-2')
  })

  test('have findings that a run of the path repeats, without a fork', async () => {
    const { found } = await grow(2)
    const [findings] = JSON.parse(found) as [
      { path: Stretch[]; mended: boolean; failure: string; result: { faults: Fault[] } }[],
    ]
    expect(findings.map(({ failure }) => failure)).toEqual(['check ended with 1'])
    for (const { path, mended, failure } of findings) {
      const given = { seed: 7, draws: 'xoroshiro64**', failure, path, mended }
      const plan = readPlan(JSON.parse(JSON.stringify(given)), description)
      const cluster = await Cluster.start(description, seedOfPlan(plan), HOST)
      const result = await cluster.finish({ path: plan.path!, mended: plan.mended === true })
      expect([result.failure, result.faults]).toEqual([failure, faultsOf(path)])
    }
  })

  /** Explores with lanes whose runs fail by their paths alone, and that are stopped after so many runs. */
  const search = async (lanes: number, seed: number, stopAt = Infinity) => {
    const stop = new AbortController()
    let [runs, failures] = [0, 0]
    const act =
      (what: string): Lane['stretch'] =>
      async (path) => {
        const key = `${what} ${JSON.stringify(path)}`
        const hash = crc32(`${seed} ${key}`)
        if (++runs >= stopAt) stop.abort()
        const failure = stop.signal.aborted ? STOPPED : hash % 16 === 0 ? 'it failed' : undefined
        failures += Number(failure === 'it failed')
        for (let i = 0; i < hash % 5; i++) await setImmediate()
        return { result: { failure, ns: 1, faults: [], properties: [] }, properties: [], reached: [key], mark: key }
      }
    const lane = { begin: 0, run: fail, stretch: act('to'), mend: act('mend'), release: () => {}, close: () => {} }
    const told: string[] = []
    const { findings, states } = await explore(description, seed, new Array<Lane>(lanes).fill(lane), {
      ...{ goesOn: () => true, states: 40, signal: stop.signal },
      onState: ({ state, path, result }) => void told.push(JSON.stringify([state, path, result.failure])),
    })
    return { told, states, findings, failures }
  }
  const fail = () => Promise.reject(new Error('a branch'))

  test('end with their first failure, in however many lanes, and keep it where they are stopped', async () => {
    const [lanes, stops] = [fc.integer({ min: 2, max: 4 }), fc.integer({ min: 1, max: 30 })]
    const property = fc.asyncProperty(fc.nat(), lanes, stops, async (seed, many, at) => {
      const [one, several] = [await search(1, seed), await search(many, seed)]
      expect([several.told, several.states, several.findings]).toEqual([one.told, one.states, one.findings])
      const stopped = await search(many, seed, at)
      expect(stopped.findings.length > 0).toBe(stopped.failures > 0)
    })
    await fc.assert(property, { numRuns: 60 })
  })
})

/** Plans of release 0.3.0, and a checksum of all that happened there in their runs. */
const OLD_PLANS = [
  [{ seed: 5, branch: 1, failure: '', faults: [] }, 'e0ae899f'],
  [{ seed: 1, branch: 4, failure: '', faults: [{ kind: 'loss', at: 1e9, for: 2e9, amount: 0.4 }] }, '87ee2948'],
  [
    {
      ...{ seed: 9, branch: 2, failure: '' },
      faults: [
        { kind: 'stall', at: 5e8, for: 2e9, machines: ['node-1'] },
        { kind: 'power', at: 1e9, for: 1e9, machines: ['node-1', 'node-2'] },
        { kind: 'eio', at: 3e9, for: 1e9, machines: ['node-2'], amount: 0.5 },
      ],
    },
    'ce178c01',
  ],
] as const

test.each(OLD_PLANS)('plan %j of a release before runs as it did', async (value, sum) => {
  const description = clusterOf(['power', 'loss', 'eio', 'stall'])
  const plan = readPlan(JSON.parse(JSON.stringify(value)), description)
  const events: ClusterEvent[] = []
  const onEvent = (event: ClusterEvent): void => void events.push(event)
  const cluster = await Cluster.start(description, seedOfPlan(plan), HOST, { onEvent })
  const { failure, ns } = await cluster.finish({ number: plan.branch, faults: plan.faults })
  expect(crc32(JSON.stringify([events, failure, ns])).toString(16)).toBe(sum)
})
