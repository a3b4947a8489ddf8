import type { Instant } from '@retrap/recording'
import type { InputGate } from './input-gate.ts'
import { MachineError } from '../errors.ts'
import type { ReplayExit } from './replay-hits.ts'

/** A time of the guest's clock, from power-on on. */
export interface GuestTime {
  /** Time in nanoseconds. */
  readonly ns: number
}

/** An instant of a recording: an instruction by its number, a time, or a mark. */
export type ReplayPlace = number | GuestTime | Instant

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 }
/** A checkpoint may lie within a turn whose beginning is sought: the search begins this much earlier, about ten turns. */
const EARLIER_NS = 100_000

/** Parses a guest time such as `1500ns`, `2.5ms` or `3s`. @returns undefined for other text */
export function parseGuestTime(text: string): GuestTime | undefined {
  const [, value = '', unit = ''] = /^(\d{1,16}(?:\.\d{1,9})?)(ns|us|ms|s)$/.exec(text) ?? []
  const ns = Math.round(Number(value) * (UNITS[unit] ?? NaN))
  return value !== '' && Number.isSafeInteger(ns) ? { ns } : undefined
}

/** Parses the number of an instruction, or a guest time. @returns undefined for other text */
export function parsePlace(text: string): ReplayPlace | undefined {
  if (!/^\d{1,16}$/.test(text)) return parseGuestTime(text)
  return Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}

/** A recording's places with names. */
export interface NamedPlaces {
  /** Instructions retired at the recording's begin. */
  readonly begin: number
  /** Instructions retired at the recording's end. */
  readonly end: number
  /** The guest's time at the end, in nanoseconds; undefined: unknown. */
  readonly endNs?: number | undefined
  /** Instants with names. */
  readonly marks: readonly ({ readonly name: string } & Instant)[]
}

/**
 * Reads a place of a recording: an instruction by its number, a time, a mark by its name, `begin` or `end`.
 *
 * @throws MachineError `ERR_OPTION` for a place that the recording has not
 */
export function placeIn({ begin, end, endNs, marks }: NamedPlaces, text: string): ReplayPlace {
  const named =
    marks.find(({ name }) => name === text) ?? new Map(Object.entries({ begin, end })).get(text) ?? parsePlace(text)
  if (named === undefined)
    throw new MachineError(
      'ERR_OPTION',
      `${text}: write an instruction from ${begin} to ${end}, a time such as 1500ns, a mark, begin or end`,
    )
  const isBehind = typeof named === 'number' ? named > end : 'ns' in named && named.ns > (endNs ?? Infinity)
  if (!isBehind) return named
  const time = endNs === undefined ? '' : `, at ${endNs} ns`
  throw new MachineError('ERR_OPTION', `${text}: the recording ends before, at instruction ${end}${time}`)
}

/** A replay in which a time is looked for. */
export interface TimedReplay {
  /** Number of the recording's first instruction. */
  readonly begin: number
  /** Guest time of the machine, in nanoseconds. */
  now(): number
  /** Brings the machine to the last checkpoint that is not after an instruction. @returns its gate */
  makeNear(instruction: number): Promise<Pick<InputGate, 'inTime' | 'limitTime'>>
  /** Runs on to the end. */
  run(): Promise<ReplayExit>
}

/**
 * Finds the turn of vCPUs that a time is in.
 *
 * @param checkpoints - checkpoints of the recording, which may be empty
 * @returns the beginning of the turn, null if no turn began before that time, and the exit of the search
 */
export async function instantOf(
  replay: TimedReplay,
  { ns }: GuestTime,
  checkpoints: readonly Instant[],
): Promise<{ readonly at: Instant | null; readonly exit: ReplayExit }> {
  const { begin } = replay
  const stored = checkpoints.map(({ instructions }) => instructions).filter((place) => place > begin)
  const places = [begin, ...stored.toSorted((a, b) => a - b)]
  let low = 0
  let high = stored.length
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    await replay.makeNear(places[middle] ?? begin)
    if (replay.now() <= ns - EARLIER_NS) low = middle
    else high = middle - 1
  }
  const gate = await replay.makeNear(places[low] ?? begin)
  gate.limitTime(ns)
  try {
    const exit = await replay.run()
    return { at: gate.inTime, exit }
  } finally {
    gate.limitTime(Infinity)
  }
}
