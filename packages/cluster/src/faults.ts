import { Draws, type Seed } from './draws.ts'

/** A kind of fault. */
export interface FaultKind {
  /** The kind in a few words, for people. */
  readonly about: string
  /** The links between machines, one machine, or the disk of one. */
  readonly place: 'links' | 'machine' | 'disk'
  /** The meaning of an amount: a part of something, or a time. Absent: the kind has no amount. */
  readonly takesAmount?: 'part' | 'time'
}

/** The kinds of faults. */
export const FAULT_KINDS: Readonly<Record<FaultName, FaultKind>> = {
  partition: { about: 'machines do not reach each other', place: 'links' },
  loss: { about: 'a part of the frames is lost', place: 'links', takesAmount: 'part' },
  delay: { about: 'frames come later', place: 'links', takesAmount: 'time' },
  duplicate: { about: 'a part of the frames comes twice', place: 'links', takesAmount: 'part' },
  reorder: { about: 'a part of the frames is overtaken by later ones', place: 'links', takesAmount: 'part' },
  corrupt: { about: 'a part of the frames has a wrong bit', place: 'links', takesAmount: 'part' },
  crash: { about: 'a machine is reset, and starts again; its disk has all that was written', place: 'machine' },
  power: { about: 'a machine loses its power, and its disk the writes that were not flushed', place: 'machine' },
  hang: { about: 'a machine stands still', place: 'machine' },
  clock: { about: "a machine's clock is wrong", place: 'machine', takesAmount: 'time' },
  drift: { about: "a machine's clock is fast by a part of the time", place: 'machine', takesAmount: 'part' },
  'slow-cpu': { about: 'a machine executes in a part of its time only', place: 'machine', takesAmount: 'part' },
  memory: { about: 'a machine lacks memory: the kernel kills a program', place: 'machine' },
  eio: { about: 'a part of the requests to a disk fail', place: 'disk', takesAmount: 'part' },
  full: { about: 'a disk is full', place: 'disk' },
  stall: { about: 'a disk answers nothing', place: 'disk' },
  'slow-fsync': { about: 'a flush of a disk takes long', place: 'disk', takesAmount: 'time' },
  'lost-fsync': { about: 'a disk answers flushes, and does not make writes durable', place: 'disk' },
}

/** The names of the kinds. */
export type FaultName =
  | ('partition' | 'loss' | 'delay' | 'duplicate' | 'reorder' | 'corrupt')
  | ('crash' | 'power' | 'hang' | 'clock' | 'drift' | 'slow-cpu' | 'memory')
  | ('eio' | 'full' | 'stall' | 'slow-fsync' | 'lost-fsync')

/** The faults that a guest makes to itself: the last two where containers share it. */
export type GuestFault = 'full' | 'memory' | 'drift' | 'hang' | 'slow-cpu'

/** Sectors of a write that a power loss has not let onto the disk. */
export interface LostSectors {
  /** The number of the write since the disk was made. */
  readonly write: number
  /** The first of them in the write, and how many they are. */
  readonly first: number
  /** See `first`. */
  readonly count: number
}

/** A fault, as it is drawn or written down. Times are in nanoseconds. */
export interface Fault {
  /** The kind of fault. */
  readonly kind: FaultName
  /** From the instant at which faults begin. */
  readonly at: number
  /** How long it lasts. */
  readonly for: number
  /** Of a fault of a machine; of a fault of links: those to and from these machines. */
  readonly machines?: readonly string[]
  /** Links that are cut, each as `from>to`. */
  readonly cut?: readonly string[]
  /** A part of the frames, or a time. */
  readonly amount?: number
  /** Of a power loss: the lost parts of writes that were not flushed, in place of drawn ones. */
  readonly lost?: readonly LostSectors[]
}

/** The shapes of partitions: each returns the links that are cut. */
const PARTITIONS: readonly ((names: readonly string[]) => string[])[] = [
  // Two halves.
  (names) => between(names.slice(0, names.length >> 1), names.slice(names.length >> 1)),
  // One alone.
  ([one, ...others]) => between([one!], others),
  // A ring: each reaches its neighbours.
  (names) =>
    names.flatMap((one, i) =>
      names
        .filter((_, k) => ![0, 1, names.length - 1].includes((k - i + names.length) % names.length))
        .map((other) => `${one}>${other}`),
    ),
  // One does not reach the others, and they do reach it.
  ([one, ...others]) => others.map((other) => `${one}>${other}`),
]
const ALONE = [PARTITIONS[1]!, PARTITIONS[3]!]

const between = (some: readonly string[], others: readonly string[]): string[] =>
  some.flatMap((one) => others.flatMap((other) => [`${one}>${other}`, `${other}>${one}`]))

/** How often a kind of fault comes. */
export interface FaultRate {
  /** Nanoseconds between two of them, on average: they come at random. */
  readonly every: number
  /** How long one lasts, on average. */
  readonly for: number
  /** As that of a fault. */
  readonly amount?: number | undefined
  /** The machines that it may be of; default all that do not drive the others. */
  readonly machines?: readonly string[] | undefined
}

/** The faults of a run: those that are drawn, and those of a list. */
export interface FaultWishes {
  /** Nanoseconds in which faults come. */
  readonly for: number
  /** Of the kinds that are drawn. */
  readonly rates: Readonly<Partial<Record<FaultName, FaultRate>>>
  /** Faults that come whatever is drawn. */
  readonly list: readonly Fault[]
}

/**
 * Draws the faults of a seed, and adds those of the list. Each kind is drawn from a sequence of its own.
 *
 * @param names - the machines that drawn faults may be of
 * @param withDisks - those with a disk
 * @param until - the instant at which they have all ended
 * @returns them by their instants
 */
export function drawFaults(
  wishes: FaultWishes,
  names: readonly string[],
  seed: Seed,
  withDisks: readonly string[] = [],
  until: number = wishes.for,
): Fault[] {
  const drawn = Object.entries(wishes.rates).flatMap(([kind, { every, for: mean, amount, machines }]): Fault[] => {
    const draws = new Draws(seed, `fault ${kind}`)
    const found: Fault[] = []
    const some = machines ?? (FAULT_KINDS[kind as FaultName].place === 'disk' ? withDisks : names)
    for (let at = draws.gap(every); some.length > 0 && at < wishes.for; at += draws.gap(every)) {
      const lasts = mean * (0.5 + draws.fraction())
      found.push({
        kind: kind as FaultName,
        ...{ at: Math.round(at), for: Math.round(Math.min(lasts, until - at)) },
        ...placeOf(kind as FaultName, some, names, draws),
        ...(amount !== undefined && { amount }),
      })
    }
    return found
  })
  return [...drawn, ...wishes.list].toSorted((one, other) => one.at - other.at)
}

/** @param all - also machines that faults of the kind spare */
function placeOf(kind: FaultName, names: readonly string[], all: readonly string[], draws: Draws): Partial<Fault> {
  if (kind === 'partition') {
    // A single machine is cut off from spared ones.
    const order = names.length === 1 ? [...new Set([...names, ...all])] : draws.shuffled(names)
    // A ring of three is whole, and one machine has no links.
    const cuts = (names.length === 1 ? ALONE : PARTITIONS)
      .map((shape) => shape(order))
      .filter(({ length }) => length > 0)
    return { cut: cuts.length === 0 ? [] : draws.pick(cuts) }
  }
  // A rack, or all of them.
  if (kind === 'power' && names.length > 1 && draws.happens(1 / 3))
    return { machines: draws.shuffled(names).slice(0, 2 + draws.below(names.length - 1)) }
  const isOfOne = FAULT_KINDS[kind].place !== 'links' || draws.happens(0.5)
  return isOfOne ? { machines: [draws.pick(names)] } : {}
}

/** A fault as a line for people. */
export function describeFault({ kind, machines, cut, amount, lost, for: lasts }: Fault): string {
  const { takesAmount } = FAULT_KINDS[kind]
  const much = amount === undefined ? '' : takesAmount === 'part' ? ` of ${amount * 100} %` : ` of ${timeText(amount)}`
  const where = cut?.join(' ') ?? machines?.join(' ') ?? 'all links'
  const sectors = lost?.map(({ write, first, count }) => `write ${write}, sectors ${first} to ${first + count - 1}`)
  const writes = sectors === undefined ? '' : `; lost: ${sectors.join('; ') || 'nothing'}`
  return `${kind}${much}, ${where}, for ${timeText(lasts)}${writes}`
}

/** A time for people. */
export const timeText = (ns: number): string =>
  ns >= 1e9
    ? `${Math.round(ns / 1e6) / 1e3} s`
    : ns >= 1e6
      ? `${Math.round(ns / 1e3) / 1e3} ms`
      : `${Math.round(ns / 10) / 100} µs`
