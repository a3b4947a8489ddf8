/** A stretch of a run's time that is seen, in nanoseconds. */
export interface TimeWindow {
  readonly from: number
  readonly to: number
}

/** The shortest stretch. */
const LEAST_NS = 20_000
/** Room behind the end of a run, as a part of it. */
const MARGIN = 0.04

/** Keeps a stretch within a run of this length. */
export function within(length: number, { from, to }: TimeWindow): TimeWindow {
  const end = length * (1 + MARGIN)
  const span = Math.min(Math.max(to - from, LEAST_NS), end)
  const begin = Math.min(Math.max(0, from), end - span)
  return { from: begin, to: begin + span }
}

/** The stretch before the end of a run, from shortly before its last faults. @param since - the begin of the last fault */
export function firstWindow(length: number, since: number | undefined): TimeWindow {
  const span = since === undefined ? length : Math.min(Math.max((length - since) * 2, 3e8), 20e9)
  return within(length, { from: length - span, to: length + span * MARGIN })
}

/** Zooms by a factor, about an instant that stays where it is. */
export function zoomed(length: number, { from, to }: TimeWindow, factor: number, about: number): TimeWindow {
  const span = Math.min(Math.max((to - from) * factor, LEAST_NS), length * (1 + MARGIN))
  const part = (about - from) / (to - from)
  return within(length, { from: about - part * span, to: about + (1 - part) * span })
}

/** Moves by a part of the visible window. */
export const moved = (length: number, { from, to }: TimeWindow, part: number): TimeWindow =>
  within(length, { from: from + (to - from) * part, to: to + (to - from) * part })

/** Moves until an instant is seen, if it is not. */
export function showing(length: number, seen: TimeWindow, ns: number): TimeWindow {
  const margin = (seen.to - seen.from) / 10
  if (ns < seen.from + margin) return moved(length, seen, (ns - seen.from - margin) / (seen.to - seen.from))
  if (ns > seen.to - margin) return moved(length, seen, (ns - seen.to + margin) / (seen.to - seen.from))
  return seen
}

/** The instants of an axis with about this many labels, and the digits that tell them apart. */
export function ticksOf(
  { from, to }: TimeWindow,
  count: number,
): { readonly ticks: number[]; readonly digits: number } {
  const rough = (to - from) / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((one) => one * power >= rough) ?? 10)
  const first = Math.ceil(from / step)
  const ticks = Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step)
  return { ticks, digits: Math.min(9, Math.max(0, 9 - Math.floor(Math.log10(step) + 1e-9))) }
}

/** An instant, for people. */
export const secondsText = (ns: number, digits = 6): string => `${(ns / 1e9).toFixed(digits)} s`
