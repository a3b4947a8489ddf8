import { TestError } from '../errors.ts'
import { type DeviceFault, FAULT_KINDS, type FaultAct, type FaultKind } from './fault.ts'
import type { ActCounts } from './fault-stage.ts'

/** Which faults are drawn. */
export interface DrawOptions {
  /** The kinds of faults. Default `late` alone, which sound hardware may do. */
  readonly kinds?: readonly FaultKind[] | undefined
  /** The acts that faults may affect. Default all. */
  readonly acts?: readonly FaultAct[] | undefined
  /** The most faults of a schedule; default 2. */
  readonly most?: number | undefined
  /** The longest delay of an act, in nanoseconds of the guest's clock; default 1,000,000. */
  readonly longestNs?: number | undefined
}

const SOUND = (Object.keys(FAULT_KINDS) as FaultKind[]).filter((kind) => FAULT_KINDS[kind].sound)
const SHORTEST_NS = 100
const LONGEST_NS = 1_000_000
const MOST_FAULTS = 2

/** Returns a small generator of numbers in [0, 1), reproducible by seed and schedule. */
function fractions(seed: number, schedule: number): () => number {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(schedule, 0x85eb_ca77)) >>> 0
  return () => {
    // A Weyl sequence, mixed by the finalizer of MurmurHash3.
    state = (state + 0x9e37_79b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
}

/**
 * Draws the faults of a schedule, reproducible by seed, schedule, options and acts.
 *
 * @param counts - the acts of a run without faults, by device
 * @throws TestError `ERR_OPTION` where no act can have a fault
 */
export function drawFaults(
  seed: number,
  schedule: number,
  counts: ReadonlyMap<string, ActCounts>,
  { kinds = SOUND, acts, most = MOST_FAULTS, longestNs = LONGEST_NS }: DrawOptions = {},
): DeviceFault[] {
  const choices = [...counts].flatMap(([device, counted]) =>
    kinds.flatMap((kind) =>
      FAULT_KINDS[kind].acts
        .filter((act) => counted[act] > 0 && acts?.includes(act) !== false)
        .map((act) => ({ device, act, kind, count: counted[act] })),
    ),
  )
  if (choices.length === 0)
    throw new TestError(
      'ERR_OPTION',
      'no act of the devices can have such a fault: expected other kinds, acts or devices',
    )
  const fraction = fractions(seed, schedule)
  const below = (bound: number): number => Math.floor(fraction() * bound)
  return Array.from({ length: 1 + below(most) }, () => {
    const { count, ...choice } = choices[below(choices.length)]!
    const nth = 1 + below(count)
    // Logarithmic, so that short and long times are equally likely.
    const ns = Math.round(SHORTEST_NS * (Math.max(longestNs, SHORTEST_NS) / SHORTEST_NS) ** fraction())
    const bits = (1 << below(32)) >>> 0
    return {
      ...choice,
      nth,
      ...(choice.kind === 'late' && { ns }),
      ...(choice.kind === 'wrong' && { bits }),
    }
  })
}
