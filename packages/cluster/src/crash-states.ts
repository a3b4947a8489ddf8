import type { DiskLog } from './disk.ts'
import { Draws } from './draws.ts'
import type { LostSectors } from './faults.ts'

/** The writes between two flushes. The power goes just before the second flush. */
export interface CrashInterval {
  /** The number of flushes before it that have made something durable. */
  readonly flush: number
  /** The first write, and the first one behind it, since the log's begin. */
  readonly from: number
  /** See `from`. */
  readonly until: number
  /** The instant, by the clock of the log. */
  readonly ns: number
}

/** A state of a disk after a crash. All writes before the interval are durable. */
export interface CrashState {
  /** The writes, of which some are lost. */
  readonly interval: CrashInterval
  /** The parts of these that are lost. */
  readonly lost: readonly LostSectors[]
}

/** A write of an interval. Sizes are in sectors. */
interface Write {
  readonly number: number
  readonly sectors: number
  /** The disk writes so many as a whole. */
  readonly unit: number
}

const SECTOR_BYTES = 512
/** All subsets of up to two lost writes are states where an interval has so many writes; else so many are drawn of each kind. */
const EXHAUSTIVE = 12
const DRAWN = 20
/** The parts of writes that larger sets lose. */
const PARTS = [0.1, 0.3, 0.5, 0.9]

/** The intervals of a log. @param end - the instant at which all was over */
export function crashIntervals({ before, writes, flushes }: DiskLog, end: number): readonly CrashInterval[] {
  const ends = flushes.map((flush) => ({ ns: flush.ns, until: flush.writes - before }))
  const effective = ends.filter(({ until }, i) => until > (ends[i - 1]?.until ?? 0))
  return [...effective, { ns: end, until: writes.length }].map(({ ns, until }, flush) => ({
    ...{ flush, from: effective[flush - 1]?.until ?? 0, until },
    ns: Math.max(Math.ceil(ns) - 1, writes[until - 1]?.ns ?? 0),
  }))
}

/**
 * Generates the states after a crash: small sets of lost writes first, intervals in a drawn order.
 *
 * @param tearBytes - the bytes that the disk writes as a whole: 512, or 4,096
 */
export function* crashStates(
  { before, writes }: DiskLog,
  intervals: readonly CrashInterval[],
  seed: number,
  tearBytes: number,
): Generator<CrashState> {
  const draws = new Draws(seed, 'crash')
  for (const setsOf of ROUNDS)
    for (const interval of draws.shuffled(intervals)) {
      const of = writes.slice(interval.from, interval.until).map(({ bytes }, i): Write => ({
        ...{ number: before + interval.from + i, sectors: Math.ceil(bytes / SECTOR_BYTES) },
        unit: tearBytes / SECTOR_BYTES,
      }))
      for (const lost of setsOf(of, draws)) yield { interval, lost }
    }
}

/** The kinds of sets: a flush alone, nothing lost, one write, two, all behind a write, a torn write, any set. */
const ROUNDS: readonly ((writes: readonly Write[], draws: Draws) => readonly (readonly LostSectors[])[])[] = [
  (writes) => [writes.map(whole)],
  (writes) => (writes.length > 0 ? [[]] : []),
  (writes, draws) => (writes.length > 1 ? some(writes, draws).map((write) => [whole(write)]) : []),
  (writes, draws) => (writes.length > 2 ? pairs(writes, draws).map((two) => two.map(whole)) : []),
  (writes, draws) => some(writes.slice(1, -1), draws).map((write) => behind(writes, write)),
  (writes, draws) =>
    some(
      writes.filter(({ sectors, unit }) => sectors > unit),
      draws,
    ).map((write) => {
      const last = behind(writes, write).slice(1)
      return [torn(write, draws), ...(draws.happens(0.5) ? last : [])]
    }),
  (writes, draws) => Array.from({ length: writes.length > 3 ? DRAWN : 0 }, () => anySet(writes, draws)),
]

const whole = ({ number, sectors }: Write): LostSectors => ({ write: number, first: 0, count: sectors })

/** A write and all that come after it. */
const behind = (writes: readonly Write[], write: Write): LostSectors[] => writes.slice(writes.indexOf(write)).map(whole)

/** The end of a write is lost, or its begin. */
function torn({ number, sectors, unit }: Write, draws: Draws): LostSectors {
  const cut = unit * (1 + draws.below(Math.ceil(sectors / unit) - 1))
  return draws.happens(0.5)
    ? { write: number, first: cut, count: sectors - cut }
    : { write: number, first: 0, count: cut }
}

function anySet(writes: readonly Write[], draws: Draws): LostSectors[] {
  const part = draws.pick(PARTS)
  return writes.filter(() => draws.happens(part)).map(whole)
}

const some = (writes: readonly Write[], draws: Draws): readonly Write[] =>
  writes.length <= EXHAUSTIVE ? writes : draws.shuffled(writes).slice(0, DRAWN)

const pairs = (writes: readonly Write[], draws: Draws): (readonly Write[])[] =>
  writes.length <= EXHAUSTIVE
    ? writes.flatMap((one, i) => writes.slice(i + 1).map((other) => [one, other]))
    : Array.from({ length: DRAWN }, () => draws.shuffled(writes).slice(0, 2))
