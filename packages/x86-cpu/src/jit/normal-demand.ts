import type { RecordMemory, Region, RegionInstruction } from '@retrap/engine'
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

/** Arithmetic and comparisons: packed or scalar, and the type. */
const ARITHMETIC = /^V?(?:ADD|SUB|MUL|DIV|SQRT|U?COMI|FN?M(?:ADD|SUB)\d+)([SP])([SD])$/
/** Comparisons have no destination. */
const COMPARISON = /COMI/
/** Operations whose destination is a source as well, if they have no operand for each. */
const UNARY = /SQRT/
const COPY = /^V?MOV[AU]P[SD]$|^V?MOVDQ[AU]$/

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
  const { form } = source
  const { mnemonic, operands } = form
  const registers = operands.map((_, i) => vectorOperand(memory, record, form, i))
  const [first, second] = registers
  const arithmetic = ARITHMETIC.exec(mnemonic)
  const written = COMPARISON.test(mnemonic) ? undefined : first
  const copied = COPY.test(mnemonic) && operands.length === 2 ? second : undefined
  if (arithmetic === null) return { tested: [], written, copied }
  const size = operands[0]?.size ?? 0
  const wide = size > 32 ? NORMAL_UPPER | NORMAL_TOP : size > 16 ? NORMAL_UPPER : 0
  const elements = arithmetic[1] === 'S' ? NORMAL_LOW : NORMAL_LOWER | wide
  const set = elements << (arithmetic[2] === 'D' ? 0 : NORMAL_SINGLE_SHIFT)
  // With an operand for each source, the destination is none, but of a fused operation.
  const isSource = (i: number): boolean =>
    i > 0 || (!UNARY.test(mnemonic) && (operands.length === 2 || mnemonic.includes('FM') || mnemonic.includes('FNM')))
  const tested = registers.flatMap((register, i): [number, NormalSet][] =>
    register !== undefined && isSource(i) ? [[register, set]] : [],
  )
  return { tested, written, copied }
}
