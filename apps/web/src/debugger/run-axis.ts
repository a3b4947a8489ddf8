import type { RunHistory, RunSample, PageDebugger } from '@retrap/web'
import { stopText } from './stop-text.ts'

/** Guest time of one step of the playback. */
const PIECE_MS = 100

/** Plays a recorded run at the guest's pace, until a stop, an interrupt, or the present. @returns a text about the end */
export async function playRun(debug: PageDebugger, history: RunHistory, isOver: () => boolean): Promise<string> {
  const axis = axisOf(history)
  let { instruction, now, isLive } = await debug.position()
  for (let ms = axis.msOf(instruction); !isLive && !isOver();) {
    await new Promise((resolve) => setTimeout(resolve, PIECE_MS))
    ms += PIECE_MS
    const to = ms >= axis.endMs ? now : Math.min(now, axis.instructionAt(ms))
    // The guest may have waited meanwhile.
    if (to <= instruction) continue
    const stop = await debug.continueTo(to)
    if (stop.reason !== 'step') return stopText(stop)
    ;({ instruction, now, isLive } = await debug.position())
  }
  return isLive ? stopText({ reason: 'now' }) : ''
}

/** The axis of a time line: the guest's time, and the instructions that have retired by then. */
export interface RunAxis {
  readonly beginMs: number
  readonly endMs: number
  msOf(instruction: number): number
  instructionAt(ms: number): number
}

/**
 * Converts between the two measures. After a sample the guest executes at its usual speed, and then waits: a sample is taken at the first
 * round that is due.
 */
function between(samples: readonly RunSample[], by: 'instruction' | 'guestMs', value: number, speed: number): number {
  const to = by === 'instruction' ? 'guestMs' : 'instruction'
  let [after, end] = [0, samples.length]
  while (after < end) {
    const middle = (after + end) >> 1
    if (samples[middle]![by] < value) after = middle + 1
    else end = middle
  }
  if (after === samples.length) return samples.at(-1)?.[to] ?? 0
  const [a, b] = [samples[Math.max(0, after - 1)]!, samples[after]!]
  if (value === b[by]) return b[to]
  const span = b[by] - a[by]
  const even = span === 0 ? b[to] : a[to] + ((value - a[by]) / span) * (b[to] - a[to])
  const atSpeed = (value - a[by]) * (by === 'instruction' ? 1 / speed : speed)
  return by === 'instruction' ? Math.min(even, a[to] + atSpeed) : Math.max(even, Math.min(b[to], a[to] + atSpeed))
}

/** @returns the axis of a run of at least one sample */
export function axisOf({ samples }: Pick<RunHistory, 'samples'>): RunAxis {
  const [first, last] = [samples[0], samples.at(-1)]
  const speeds = samples.slice(1).map((one, i) => {
    const before = samples[i]!
    const ms = one.guestMs - before.guestMs
    return ms > 0 ? (one.instruction - before.instruction) / ms : 0
  })
  const speed = speeds.reduce((most, one) => Math.max(most, one), 0)
  return {
    beginMs: first?.guestMs ?? 0,
    endMs: last?.guestMs ?? 0,
    msOf: (instruction) => between(samples, 'instruction', instruction, speed),
    instructionAt: (ms) => Math.round(between(samples, 'guestMs', ms, speed)),
  }
}

/** Near enough to an instant, in milliseconds. */
const NEAR_ENOUGH_MS = 0.005
/** Goes to this many places at most: each takes a moment. */
const MOST_PLACES = 12

/**
 * Goes to the last instruction before an instant, or nearly: between two samples the guest may have waited. The search ends where it
 * is.
 *
 * @param goTo - goes to an instruction @returns the guest's time at it
 */
export async function findInstant(
  { samples, begin, now }: { readonly samples: readonly RunSample[]; readonly begin: number; readonly now: number },
  ms: number,
  goTo: (instruction: number) => Promise<number>,
): Promise<void> {
  const after = samples.find(({ guestMs }) => guestMs > ms)
  const before = samples.findLast(({ guestMs }) => guestMs <= ms)
  let low = { instruction: before?.instruction ?? begin, guestMs: before?.guestMs ?? 0 }
  let high = { instruction: after?.instruction ?? now, guestMs: after?.guestMs ?? Infinity }
  let at = -1
  for (let i = 0; i < MOST_PLACES && high.instruction - low.instruction > 1; i++) {
    const part = (ms - low.guestMs) / (high.guestMs - low.guestMs)
    // Every other guess is the middle, as instructions may take uneven time.
    const guess = Math.round(low.instruction + (high.instruction - low.instruction) * (i % 2 === 0 ? part : 0.5))
    at = Math.min(high.instruction - 1, Math.max(low.instruction + 1, guess))
    const guestMs = await goTo(at)
    if (guestMs > ms) high = { instruction: at, guestMs }
    else low = { instruction: at, guestMs }
    if (guestMs <= ms && ms - guestMs < NEAR_ENOUGH_MS) return
  }
  if (at !== low.instruction) await goTo(low.instruction)
}

/** Returns the activity of a lane in each of its columns, from 0 to 1, scaled so that rare events stay visible. */
export function laneOf(
  samples: readonly RunSample[],
  axis: RunAxis,
  count: (sample: RunSample) => number,
  places: number,
): readonly number[] {
  const lane = Array.from({ length: places }, () => 0)
  const span = axis.endMs - axis.beginMs
  for (const [i, sample] of samples.entries()) {
    const before = samples[i - 1]
    if (before === undefined || span <= 0) continue
    const place = Math.min(places - 1, Math.floor(((sample.guestMs - axis.beginMs) / span) * places))
    lane[place]! += count(sample) - count(before)
  }
  const most = Math.max(...lane)
  return lane.map((value) => (value <= 0 ? 0 : Math.log1p(value) / Math.log1p(most)))
}

/** The guest's time, for people. */
export const timeText = (ms: number): string => `${(ms / 1000).toFixed(3)} s`
