import { FIRST_LOGGED_GFN, MemoryWatch, type MemoryWriter, type PhysicalRange } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import type { Instant, Recording } from '@retrap/recording'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { ReplayGate } from './replay-gate.ts'
import type { ReplayExit } from './replay-hits.ts'
import { readCheckpoint, type StartingPoint, storedCheckpoint } from './saved-checkpoints.ts'

/** The last writer of some memory. */
export type LastWriter =
  | MemoryWriter
  /** The byte was not written since power-on, and has the loader's value. */
  | { readonly by: 'nobody' }
  /** The search ended without a result; `begin`: written before the remaining recording, or never. */
  | { readonly by: 'unknown'; readonly exit: ReplayExit | { readonly reason: 'begin' } }

/** A machine whose run is searched. */
type Recorded = Pick<Machine<MachineKind>, 'domain' | 'run'>

/** A replay at its present position. */
export interface Past {
  readonly pc: Recorded
  /** The machine's current instant. */
  readonly now: Instant
  readonly recording: Recording
  readonly store: Checkpoints
  readonly memoryBytes: number
  /** Brings the machine to a checkpoint; undefined: to power-on. */
  at(from?: StartingPoint): Promise<{ readonly machine: Recorded; readonly gate: ReplayGate }>
  /** The machine is of no more use. */
  discard(): void
}

/** A search for the last writer. */
interface Search extends Past {
  readonly ranges: readonly PhysicalRange[]
  /** The contents of the ranges at the present place. */
  readonly contents: readonly (Uint8Array | null)[]
  readonly options: MachineRunOptions
}

/**
 * Finds who wrote memory last before the present place. From the last checkpoint backwards, each interval in which its pages
 * were written is run again. The machine is left somewhere in between.
 *
 * @throws as `createPc` and `pc.run`; RecordingError for a checkpoint that is damaged
 */
export async function findWriter(
  past: Past,
  ranges: readonly PhysicalRange[],
  options: MachineRunOptions,
): Promise<LastWriter> {
  const search: Search = { ...past, ranges, contents: contentsOf(past.pc, ranges), options }
  const gfns = framesOf(ranges)
  const boundaries = boundariesOf(past)
  let until = past.now
  for (let at = boundaries.length - 1; at >= -1; at--) {
    const from = boundaries[at]
    if (await mayHaveWritten(past, from?.instructions ?? -1, until.instructions, gfns)) {
      const found = await searchInterval(search, from, until)
      if (found !== undefined) return found
    }
    // The search has reached the machine's first instruction.
    if (from === undefined || from.instructions === 0) break
    until = from
    if (at === 0 && past.recording.firstPiece > 0) return { by: 'unknown', exit: { reason: 'begin' } }
  }
  return { by: 'nobody' }
}

function framesOf(ranges: readonly PhysicalRange[]): number[] {
  const gfns: number[] = []
  for (const { gpa, length } of ranges)
    for (let gfn = Math.floor(gpa / PAGE_BYTES); gfn * PAGE_BYTES < gpa + length; gfn++) gfns.push(gfn)
  return gfns
}

/** Instants of checkpoints before the present place, in order. */
function boundariesOf({ now, recording, store }: Past): Instant[] {
  const found = new Map<number, Instant>()
  for (const instant of [...recording.checkpoints, ...store.instants]) found.set(instant.instructions, instant)
  return [...found.values()]
    .filter(({ instructions, round }) => instructions <= now.instructions && round <= now.round)
    .sort((a, b) => a.instructions - b.instructions)
}

/** Whether pages may have been written between two places. @param from - −1: power-on */
async function mayHaveWritten(
  { recording, store }: Past,
  from: number,
  to: number,
  gfns: readonly number[],
): Promise<boolean> {
  // Checkpoints hold differences of these frames, and so miss a store of an unchanged value.
  if (gfns.some((gfn) => gfn < FIRST_LOGGED_GFN)) return true
  // The pages of the first checkpoint say nothing of pages that are zeros again.
  const contains = (before: Instant | undefined, after: Instant): boolean =>
    before !== undefined && before.instructions <= from && after.instructions >= to
  const { instants } = store
  const stored = instants.findIndex((after, i) => contains(instants[i - 1], after))
  if (stored >= 0 && !gfns.some((gfn) => store.wasWritten(stored, gfn))) return false
  const { checkpoints } = recording
  const at = checkpoints.findIndex((after, i) => contains(checkpoints[i - 1], after))
  return at < 0 || recording.wasWritten(at, gfns)
}

/** A write that was seen in an interval. */
interface SeenWrite {
  readonly writer: MemoryWriter
  readonly isExact: boolean
  /** Number of the write among all writes of the interval. */
  readonly number: number
}

async function searchInterval(
  search: Search,
  from: Instant | undefined,
  until: Instant,
): Promise<LastWriter | undefined> {
  const start = from && (await startingPoint(search, from))
  const { exit, last } = await runInterval(search, start, until)
  if (exit !== undefined) return { by: 'unknown', exit }
  if (last === undefined || last.isExact) return last?.writer
  // Repeat the interval, with single instructions near the write.
  const again = await runInterval(search, start, until, last)
  return again.exit === undefined ? (again.last ?? last).writer : { by: 'unknown', exit: again.exit }
}

/**
 * Runs an interval again.
 *
 * @param ending - whether the interval ends with this write, at an exact count of instructions
 * @returns the last write; with `exit` if the machine stopped early
 */
async function runInterval(
  search: Search,
  start: StartingPoint | undefined,
  until: Instant,
  ending?: SeenWrite,
): Promise<{ readonly exit?: ReplayExit; readonly last: SeenWrite | undefined }> {
  const { ranges, contents, options } = search
  const { machine: pc, gate } = await search.at(start)
  let last: SeenWrite | undefined
  let number = 0
  const watch = new MemoryWatch(pc.domain, ranges, (writer, isExact) => {
    number++
    if (ending !== undefined && number > ending.number) return
    if (isBefore(writer, gate.round, until, () => areSame(contentsOf(pc, ranges), contents)))
      last = { writer, isExact, number }
    if (number === ending?.number) gate.limit = 0
  })
  try {
    gate.limitTo({ ...until, ns: 0 })
    if (ending !== undefined) gate.aloneFrom = ending.writer.instructions
    const exit = await pc.run(options)
    if (gate.divergence !== null) return { exit: { reason: 'diverged', ...gate.divergence }, last }
    const isShort = exit.reason !== 'stopped' && pc.domain.instructions < until.instructions
    const isCut = isShort || options.signal?.aborted === true
    return { ...(isCut && { exit }), last }
  } catch (error) {
    search.discard()
    throw error
  } finally {
    watch.close()
  }
}

/**
 * Returns the last checkpoint that is not after an instant: the one of that instant, if the store still has it.
 *
 * @returns undefined for power-on
 * @throws RecordingError for a damaged checkpoint
 */
export async function startingPoint(
  { store, recording, memoryBytes }: Pick<Past, 'store' | 'recording' | 'memoryBytes'>,
  { instructions, round }: Instant,
): Promise<StartingPoint | undefined> {
  const isNotAfter = (one: Instant): boolean => one.instructions <= instructions && one.round <= round
  const inMemory = store.instants.findLastIndex(isNotAfter)
  const inFile = recording.checkpoints.findLastIndex(isNotAfter)
  const [stored, written] = [store.instants[inMemory], recording.checkpoints[inFile]]
  if (stored !== undefined && stored.instructions >= (written?.instructions ?? 0))
    return storedCheckpoint(store, inMemory)
  return written && readCheckpoint(recording, inFile, memoryBytes)
}

/** Whether a write precedes an instant. @param isSame - whether memory already has the value there */
function isBefore(writer: MemoryWriter, round: number, until: Instant, isSame: () => boolean): boolean {
  if (writer.instructions !== until.instructions) return writer.instructions < until.instructions
  if (writer.by !== 'instruction') return round <= until.round
  // An event comes before the instruction, and the place may be on either side of it.
  return writer.delivers && (round < until.round || isSame())
}

/** Reads memory; null for addresses without memory. */
const contentsOf = ({ domain }: Recorded, ranges: readonly PhysicalRange[]): (Uint8Array | null)[] =>
  ranges.map(({ gpa, length }) => {
    const bytes = new Uint8Array(length)
    return domain.guestMemory.read(gpa, bytes) ? bytes : null
  })

const areSame = (some: Search['contents'], others: Search['contents']): boolean =>
  some.every((bytes, at) => bytes !== null && bytes.every((byte, i) => byte === others[at]?.[i]))
