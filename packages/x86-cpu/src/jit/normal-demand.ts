import type { RecordMemory, Region, RegionInstruction } from '@retrap/engine'
import { codeInfo } from '@retrap/x86-decoder'
import type { FormSource } from '../semantics/form-context.ts'
import { vectorOperand } from './vector-plan.ts'

/**
 * Which vector registers hold operands of later arithmetic: their elements are tested for denormal numbers once, where a
 * loop is entered, instead of in each of its rounds.
 *
 * This says only what is worth testing. Code is right whatever it says: an edge to the head of a loop tests what is not
 * known there.
 */

/** Elements of a register that should not be denormal: `NORMAL_*`, one set of bits for doubles and one for singles. */
export type NormalSet = number

/**
 * The lowest element, all elements of the lowest lane, of the next one, and of the two lanes that AVX-512 has above; of
 * doubles. Singles: `NORMAL_SINGLE_SHIFT` above.
 */
export const NORMAL_LOW = 1
export const NORMAL_LOWER = 2
export const NORMAL_UPPER = 4
export const NORMAL_TOP = 8
export const NORMAL_SINGLE_SHIFT = 4

/** The registers that one instruction tests, and the one that it writes. */
interface Uses {
  readonly tested: readonly (readonly [register: number, elements: NormalSet])[]
  readonly written: number | undefined
  /** The register that the written one becomes a copy of. */
  readonly copied: number | undefined
}

/** For each block, by register below `count`: the elements whose values at its beginning later arithmetic may take. */
export function normalDemand(memory: RecordMemory, region: Region<FormSource>, count: number): NormalSet[][] {
  const { blocks } = region
  const uses = blocks.map(({ instructions }) => instructions.map((insn) => usesOf(memory, insn)).toReversed())
  const demand: NormalSet[][] = blocks.map(() => new Array<NormalSet>(count).fill(0))
  for (let hasChanged = true; hasChanged;) {
    hasChanged = false
    for (let number = blocks.length - 1; number >= 0; number--) {
      const { next, target, computed } = blocks[number]!
      const live = new Array<NormalSet>(count).fill(0)
      for (const follower of [next, target, ...computed]) {
        if (follower !== undefined) for (const [i, set] of demand[follower]!.entries()) live[i]! |= set
      }
      for (const each of uses[number]!) passBackwards(live, each)
      if (live.every((set, i) => set === demand[number]![i])) continue
      demand[number] = live
      hasChanged = true
    }
  }
  return demand
}

/** The demand before an instruction, from that after it. */
function passBackwards(live: NormalSet[], { tested, written, copied }: Uses): void {
  if (written !== undefined) {
    const set = live[written]!
    live[written] = 0
    if (copied !== undefined) live[copied]! |= set
  }
  for (const [register, set] of tested) live[register]! |= set
}

function usesOf(memory: RecordMemory, { form: source, record }: RegionInstruction<FormSource>): Uses {
  if (source === undefined) return { tested: [], written: undefined, copied: undefined }
  const { form, semantics, code } = source
  const { numbers, moves } = semantics
  const { operands } = form
  const registers = operands.map((_, i) => vectorOperand(memory, record, form, i))
  const [first, second] = registers
  const access = codeInfo(code!).operands[0]?.access
  const written = access === 'r' ? undefined : first
  const copied = moves === 'copy' && operands.length === 2 ? second : undefined
  if (numbers?.tested === undefined) return { tested: [], written, copied }
  const { bits, isScalar } = numbers
  const size = operands[0]?.size ?? 0
  const wide = size > 32 ? NORMAL_UPPER | NORMAL_TOP : size > 16 ? NORMAL_UPPER : 0
  const elements = isScalar ? NORMAL_LOW : NORMAL_LOWER | wide
  const set = elements << (bits === 64 ? 0 : NORMAL_SINGLE_SHIFT)
  const isSource = (i: number): boolean => i > 0 || (numbers.tested === 2 && access !== 'w')
  const tested = registers.flatMap((register, i): [number, NormalSet][] =>
    register !== undefined && isSource(i) ? [[register, set]] : [],
  )
  return { tested, written, copied }
}
