// A case: a guest, what is done to it, and what must not be noticed.
import { setImmediate as turn } from 'node:timers/promises'
import type { MachineRun, MachineVerb } from '@retrap/machine'
import type { Rng } from '@retrap/tooling/soak'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { hostileArm } from '../hostile-arm.ts'
import { hostileFirmware } from '../hostile-firmware.ts'
import { drawWrites, PLUGGED } from './acts.ts'
import { type Board, guestView } from './boards.ts'
import type { CardPlace } from './cards.ts'
import { type Act, actsFor, type Disturbance, inState, type State } from './states.ts'
import { differenceOf, type Making, recorded, refusedTo, replayed, Stops, Subject, textOf } from './machines.ts'

export interface Case {
  readonly making: Making
  readonly acts: readonly Act[]
  readonly disturbances: readonly Disturbance[]
  readonly endNs: number
  /** Whether hot code is compiled in the run that is disturbed, or run again. */
  readonly other: boolean
  readonly checkpointMs: number
  /** Where a recording is gone to, as parts of it. */
  readonly stops: readonly number[]
}

/** Verbs by which a machine goes on elsewhere. */
const HANDED_OVER: ReadonlySet<MachineVerb> = new Set(['restore', 'migrate', 'fork'])
/** Some take long to start. */
const CARDS: readonly CardPlace[] = [
  ...Array.from({ length: 10 }, () => 'none' as const),
  ...Array.from({ length: 10 }, () => 'here' as const),
  ...(['Unix socket', 'Unix socket', 'TLS', 'Worker', 'process'] as const),
]
/** Most last for some turns only: the later ones of a guest in a loop are like those before. */
const ENDS = [20_000, 20_000, 200_000, 200_000, 200_000, 1_000_000] as const
const SHORT_ENDS = [20_000, 20_000, 20_000, 60_000] as const
const LATE_END = 4_000_000
/** A Worker takes its time to start. */
const PLACES = [
  ...(['inline', 'inline', 'inline', 'inline', 'inline', 'deferred', 'deferred', 'deferred'] as const),
  ...(['worker', 'controllers'] as const),
] as const
const times = <const T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)
const SHORT_PLACES = [...times(4, 'deferred'), ...times(3, 'inline'), 'controllers'] as const
const SHORT_CARDS = [...times(4, 'none'), ...times(4, 'here'), 'Unix socket', ...times(3, 'program')] as const
const PAGED: ReadonlySet<string> = new Set(['32-bit paging', 'PAE', '64-bit'])
/** Handlers of breakpoints take the host's time. */
const MOST_DEBUGGED_NS = 20_000
const RESET = 'reset button'
const KEYS = ['KeyA', 'ShiftLeft', 'Enter', 'F1'] as const

/** Machines of each board were looked at for where their devices are. */
const views = new Map<Board, ReturnType<typeof guestView>>()

/** Firmware, and an arm64 Image, that does nothing. */
export function nothing(): Uint8Array {
  const image = new Uint8Array(0x1_0000)
  // The header of an arm64 Image.
  new DataView(image.buffer).setUint32(56, 0x644d_5241, true)
  new DataView(image.buffer).setUint32(16, image.length, true)
  return image
}

async function viewOf(board: Board): Promise<ReturnType<typeof guestView>> {
  const known = views.get(board)
  if (known !== undefined) return known
  const { machine } = await Subject.make({
    board,
    cpus: 1,
    placement: 'inline',
    jit: false,
    image: nothing(),
    hostModels: true,
    card: 'here',
    keep: undefined,
    restarts: false,
    pages: false,
    forks: false,
  })
  const view = guestView(board, machine.domain.devices.functions)
  machine.close()
  views.set(board, view)
  return view
}

type Drawn = Omit<Making, 'image' | 'pages' | 'forks'>

/** An act of the machine's owner. */
function drawAct(rng: Rng, at: number, making: Drawn, run: MachineRun): Act {
  const name = rng.pick(Object.keys(PLUGGED))
  const packets = drawWrites(rng, making.board.arm, making.cpus)
  const force = rng.chance()
  const all: readonly (Act & { readonly verb?: MachineVerb })[] = [
    drawInput(rng, at),
    { at, verb: 'restore', name: RESET, act: (subject) => subject.reset() },
    { at, verb: 'plug', name: `plug ${name}`, act: (subject) => subject.plug(name) },
    { at, verb: 'plug', name: force ? 'take out' : 'unplug', act: (subject) => subject.unplug(force) },
    { at, verb: 'gdb', name: `gdb: ${packets.join(' ')}`, act: (subject) => subject.debugged(packets) },
  ]
  // What a debugger writes is in no recording.
  const mayBe = ({ verb }: { verb?: MachineVerb }): boolean =>
    verb === undefined || (run === 'plain' && refusedTo(verb, making) === undefined)
  return rng.pick(all.filter(mayBe))
}

/** Input of the machine's user. */
function drawInput(rng: Rng, at: number): Act {
  const [x, y] = [rng.below(40) - 20, rng.below(40) - 20]
  const text = rng.bytes(rng.between(1, 20))
  const key = rng.pick(KEYS)
  return rng.pick<Act>([
    { at, name: 'serial input', act: ({ machine }) => void machine.serial.receive(text.slice()) },
    {
      at,
      name: `key ${key}`,
      // What the guest does not take at once waits in the host, which is no part of any state.
      act: ({ machine: { keyboard } }) => {
        void keyboard.press(key)
        keyboard.clear()
      },
    },
    {
      at,
      name: 'mouse',
      act: ({ machine: { mouse } }) => {
        void mouse.move(x, y)
        mouse.clear()
      },
    },
  ])
}

function drawDisturbance(rng: Rng, at: number, making: Drawn, state: State = 'stopped'): Disturbance {
  const away = at + 1 + rng.pick([rng.below(2000), rng.below(200_000)])
  const times = rng.between(1, 2)
  const noise = rng.chance() ? drawInput(rng, at) : undefined
  const step = rng.pick([0, 100, 5000])
  const turns = rng.below(40)
  const downtimeMs = rng.pick([Infinity, 0])
  const address = rng.pick(making.board.arm ? [0x4000_0000, 0x4008_0000] : [0xf_0000, 0x1_0000]) + rng.below(0x1000)
  const wander = (subject: Subject) => async (): Promise<void> => {
    await noise?.act(subject)
    await subject.runUntil(away)
  }
  const all: readonly Disturbance[] = [
    {
      at,
      verb: 'save',
      name: 'save',
      whileRunning: 'too',
      disturb: async (subject) => {
        await subject.machine.save()
        return [subject]
      },
    },
    {
      at,
      verb: 'save',
      name: `save while it runs, ${turns} turns on`,
      disturb: async (subject, next) => {
        const running = subject.runUntil(next)
        for (let i = 0; i < turns; i++) await turn()
        const [saved] = await Promise.allSettled([subject.machine.save(), running])
        // Its guest may have ended it.
        if (saved.status === 'rejected' && subject.exit === undefined) throw saved.reason
        return [subject]
      },
    },
    { at, verb: 'restore', name: 'save, restore elsewhere', disturb: async (subject) => [await subject.movedOn()] },
    {
      at,
      verb: 'restore',
      name: `save, run to ${away}, restore, ${times} times`,
      disturb: async (subject) => {
        const { machine } = subject
        const saved = async () => {
          const snapshot = await machine.save({ forRestore: times > 1 })
          const before = textOf(snapshot.state)
          return (options: object) => {
            if (textOf(snapshot.state) !== before) throw new Error('what was saved has changed with the machine')
            return machine.restore(structuredClone(snapshot), options)
          }
        }
        await subject.excursion(saved, wander(subject), times)
        return [subject]
      },
    },
    {
      at,
      verb: 'checkpoint',
      name: `checkpoint, run to ${away}, reset, ${times} times`,
      disturb: async (subject) => {
        const noted = async () => {
          const checkpoint = await subject.machine.checkpoint()
          return (options: object) => checkpoint.reset(options)
        }
        await subject.excursion(noted, wander(subject), times)
        return [subject]
      },
    },
    {
      at,
      verb: 'fork',
      name: 'fork',
      whileRunning: 'too',
      disturb: async (subject) => [subject, await subject.forked()],
    },
    {
      at,
      verb: 'fork',
      name: 'fork, the clone is followed',
      whileRunning: 'too',
      disturb: async (subject) => [await subject.forked(), subject],
    },
    {
      at,
      verb: 'fork',
      name: `fork, the clone runs to ${away} and is closed`,
      disturb: async (subject) => {
        const clone = await subject.forked()
        if (clone === subject) return [subject]
        await clone.runUntil(away)
        clone.machine.close()
        return [subject]
      },
    },
    {
      at,
      verb: 'checkpoint',
      name: 'checkpoint, closed',
      whileRunning: 'only',
      disturb: async (subject) => {
        const checkpoint = await subject.machine.checkpoint()
        checkpoint.close()
        return [subject]
      },
    },
    {
      at,
      verb: 'migrate',
      name: `migrate, ${step} ns for each piece, ${downtimeMs} ms of downtime`,
      disturb: async (subject, next) => [await subject.migrated(step, next, downtimeMs)],
    },
    {
      at,
      verb: 'gdb',
      name: `debugger: breakpoint and watchpoint at ${address.toString(16)}`,
      disturb: async (subject, next) => {
        const debug = await subject.machine.debugger()
        const goOn = (): void => undefined
        const set = [debug.breakpoint(BigInt(address), goOn), debug.watch(BigInt(address), 8, 'access', goOn)]
        await subject.runUntil(Math.min(away, at + MOST_DEBUGGED_NS, next))
        for (const each of set) each.remove()
        return [subject]
      },
    },
  ]
  const runs = state === 'running' || state === 'debugged'
  const fits = ({ verb, whileRunning }: Disturbance): boolean => {
    if (state === 'paused') return HANDED_OVER.has(verb)
    return runs ? whileRunning !== undefined : whileRunning !== 'only'
  }
  const mayBe = all.filter((one) => fits(one) && refusedTo(one.verb, making) === undefined)
  // A board with a thread of its own may have none of these.
  if (mayBe.length === 0) return drawDisturbance(rng, at, making)
  return state === 'stopped' ? rng.pick(mayBe) : inState(rng, state, rng.pick(mayBe))
}

/** Draws a case of a board. @param state - how its machine stands when it is disturbed first; such cases are short */
export async function drawCase(rng: Rng, board: Board, run: 'plain' | 'recorded', state?: State): Promise<Case> {
  const view = await viewOf(board)
  const cpus = rng.pick([1, 1, 2, 3])
  const jit = state === undefined ? rng.chance() : rng.chance(1, 4)
  const keep = rng.chance(1, 3) ? new MemoryKeeper() : undefined
  const wanted = {
    board,
    cpus,
    placement: rng.pick(state === undefined ? PLACES : SHORT_PLACES),
    jit,
    hostModels: rng.chance(),
    card: rng.pick(state === undefined ? CARDS : SHORT_CARDS),
    keep,
    restarts: rng.chance(),
  }
  const inline = { ...wanted, placement: 'inline' as const }
  const plain = { ...inline, hostModels: false, card: 'none' as const }
  const mayBe = (each: Drawn): boolean =>
    refusedTo('make', each, run) === undefined && (run === 'plain' || refusedTo('record', each, run) === undefined)
  const machine = [wanted, inline].find(mayBe) ?? plain
  const guest = board.arm ? { ...hostileArm(rng, view), mode: '' } : hostileFirmware(rng, view)
  const pages = PAGED.has(guest.mode)
  const ends = state === undefined ? ENDS : SHORT_ENDS
  const endNs = (state === undefined && rng.chance(1, 20) ? LATE_END : rng.pick(ends)) + rng.below(1000)
  const instants = (count: number): number[] =>
    Array.from({ length: count }, () => rng.below(endNs)).sort((a, b) => a - b)
  // After a reset nothing tells whether the page tables had changed before.
  const mayBeReset = ({ name }: Act): boolean => !pages || name !== RESET
  const acts = instants(rng.below(4)).flatMap((at) => [drawAct(rng, at, machine, run)].filter(mayBeReset))
  const times = instants(rng.between(1, state === undefined ? 4 : 2))
  // Most guests ask devices at first, and may wait for ever later.
  if (state === 'not run' || (state === 'waiting' && rng.chance(3, 4))) times[0] = 0
  if (state !== undefined) acts.push(...actsFor(state, times[0]!))
  acts.sort((a, b) => a.at - b.at)
  const disturbances = times.map((at, i) => drawDisturbance(rng, at, machine, i === 0 ? state : undefined))
  rng.note(
    'machine',
    `${board.name}, ${cpus} vCPUs${machine.placement === 'inline' ? '' : `, ${machine.placement}`}${jit ? ', compiled' : ''}${keep ? ', code is kept' : ''}${machine.restarts ? ', starts again' : ''}, card ${machine.card}, to ${endNs} ns`,
  )
  rng.note('acts', acts.map(({ at, name }) => `${at}: ${name}`).join('; ') || 'none')
  rng.note('disturbances', disturbances.map(({ at, name }) => `${at}: ${name}`).join('; '))
  rng.note('listing', () => guest.listing().slice(0, 4000))
  return {
    making: {
      ...machine,
      restarts: machine.restarts && !pages,
      ...{ image: guest.image, pages, forks: disturbances.some(({ verb }) => verb === 'fork') },
    },
    acts,
    disturbances,
    endNs,
    other: rng.chance(),
    checkpointMs: rng.pick([Infinity, 0.01, 0.1]),
    stops: Array.from({ length: rng.below(4) }, () => rng.below(1000) / 1000),
  }
}

/** Takes a machine to an instant, and does what comes on the way. */
async function drive(subject: Subject, acts: readonly Act[], until: number): Promise<void> {
  for (const act of acts.filter(({ at }) => at <= until)) {
    await subject.runUntil(act.at)
    if (subject.exit === undefined) await act.act(subject)
  }
  await subject.runUntil(until)
}

/** The end of a machine: undefined where its translations may be older than its page tables. */
async function endOf(subject: Subject): Promise<string[] | undefined> {
  try {
    return subject.mayBeStale ? undefined : await subject.seen()
  } finally {
    subject.machine.close()
  }
}

/** Takes a machine through what is left of a case. @returns what each machine has become, in the end */
async function play(
  subject: Subject,
  { acts, endNs }: Pick<Case, 'acts' | 'endNs'>,
  disturbances: readonly Disturbance[],
): Promise<(string[] | undefined)[]> {
  const [next] = disturbances
  await drive(subject, acts, next?.at ?? endNs)
  if (next?.state === 'ended') {
    const wrong = await subject.refusesAll()
    if (wrong !== undefined) throw new Error(wrong)
  }
  if (next === undefined || subject.exit !== undefined) return [await endOf(subject)]
  const later = { acts: acts.filter(({ at }) => at > next.at), endNs }
  const following = [...later.acts, ...disturbances.slice(1), { at: endNs }].map(({ at }) => at)
  const [first, ...others] = new Set(await next.disturb(subject, Math.min(...following)))
  const ends = await Promise.all([
    play(first!, later, disturbances.slice(1)),
    ...others.map((other) => play(other, later, [])),
  ])
  return ends.flat()
}

export type Outcome =
  | { readonly kind: 'equal' }
  /**
   * A guest that changes its page tables, and invalidates nothing, may find either (Intel SDM vol. 3A 4.10.4.3). A machine that
   * goes on elsewhere has no translations.
   */
  | { readonly kind: 'stale' }
  | { readonly kind: 'different'; readonly how: string }

/** The same guest undisturbed, and disturbed. */
export async function disturbed({ making, disturbances, other, ...one }: Case): Promise<Outcome> {
  const [expected] = await play(await Subject.make(making), one, [])
  const ends = await play(await Subject.make({ ...making, jit: other }), one, disturbances)
  if (expected === undefined) return { kind: 'stale' }
  for (const [i, found] of ends.entries()) {
    const how = found && differenceOf(expected, found)
    if (how !== undefined) return { kind: 'different', how: `machine ${i} of ${ends.length}: ${how}` }
  }
  return { kind: 'equal' }
}

/** The same guest unrecorded, recorded, and run again. */
export async function recordedAndReplayed({ making, acts, endNs, other, checkpointMs, stops }: Case): Promise<Outcome> {
  const stopped = [...new Set([...acts.map(({ at }) => at), endNs, endNs + 50_000])]
  const run = await recorded(making, checkpointMs, stopped, (subject) => drive(subject, acts, endNs))
  const isStale = run.subject.mayBeStale
  run.subject.machine.close()
  if (isStale) return { kind: 'stale' }
  // An input enters a recorded run a round later.
  if (acts.length === 0 && run.rest !== undefined) {
    const subject = await Subject.make(making, new Stops(stopped))
    await drive(subject, acts, endNs)
    const how = differenceOf(await subject.seen(), run.rest)
    subject.machine.close()
    if (how !== undefined) return { kind: 'different', how: `recorded: ${how}` }
  }
  const how = await replayed({ ...making, jit: other }, run, stops)
  return how === undefined ? { kind: 'equal' } : { kind: 'different', how: `run again: ${how}` }
}
