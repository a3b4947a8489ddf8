/** Draws what is to happen to an instruction while it waits. */
import type { Rng } from '@retrap/tooling/soak'
import { HAPPENINGS, UNDISTURBING, type Plan, type WaitingFor } from './events.ts'
import type { Start } from './kinds.ts'
import { MODES, type Mode } from './layout.ts'

const FLAG_TF = 0x100

/** Guest frames of page tables, by kind of paging. */
const TABLE_FRAMES = { long: [1, 2, 3, 4, 5, 6], pae: [3, 4, 5, 6], narrow: [8, 9, 10] } as const
/** Descriptor tables, stacks, the window, and code. */
const OTHER_FRAMES = [0xb, 0xc, 0xd, 0xe, 0xf, 0x12, 0x14, 0x15, 0x16, 0x17, 0x1a] as const

/**
 * @returns undefined: nothing happens
 */
export function drawPlan(
  rng: Rng,
  { form, flags, followed, interrupts, repeats }: Start,
  { paging }: Mode,
): Plan | undefined {
  if (rng.below(8) === 0) return undefined
  // What has been cancelled in a line, or among interrupts and traps, and what of them has happened before, is not told apart.
  const whole = interrupts === 'during' || followed || (flags & FLAG_TF) !== 0
  const happening = pick(rng, whole ? UNDISTURBING : HAPPENINGS)
  const memory = rng.below(repeats ? 12 : 6)
  let pagedOut = -1
  if (memory === 5) pagedOut = pick(rng, OTHER_FRAMES)
  else if (memory === 4) pagedOut = pick(rng, TABLE_FRAMES[paging])
  return {
    happening,
    left: 1,
    only: pagedOut < 0 ? waitOf(rng, form, repeats) : undefined,
    pagedOut,
    heard: rng.below(2) === 1,
    drained: rng.below(4) === 3,
    mode: rng.below(MODES.length),
    context: undefined,
    switchesTask: false,
  }
}

/** The waits that few instructions have get most of the weight: of code in a page table, the page fault of what follows it. */
function waitOf(rng: Rng, form: string, repeats: boolean): WaitingFor | undefined {
  const draw = rng.below(4)
  if (repeats) return draw > 0 ? 'iterations' : undefined
  if (form === 'own walk') return draw > 0 ? 'event delivery' : undefined
  return ([undefined, undefined, 'second half', 'event delivery'] as const)[draw]
}

function pick<T>(rng: Rng, among: readonly T[]): T {
  return among[rng.below(among.length)] as T
}
