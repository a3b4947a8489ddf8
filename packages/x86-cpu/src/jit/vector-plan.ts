import type { RecordMemory, RegionInstruction } from '@retrap/engine'
import type { FormSource } from '../semantics/form-context.ts'
import { R_IMM, R_REG0, R_REG1, R_REG2 } from '../state/record.ts'
import type { Form } from '../state/form.ts'
import { S_XMM } from '../state/state-layout.ts'

/** How a region holds a vector register: as one vector, or its lowest element in a scalar local beside it. */
export type VectorFormat = 'whole' | 'f64' | 'f32'

/** How a region holds vector registers and masks. */
export interface VectorPlan {
  /** By register, up to the last that is in locals; undefined for those that stay in the state. The number of lanes is that of the widest use. */
  readonly registers: readonly ({ readonly format: VectorFormat; readonly lanes: number } | undefined)[]
  readonly hasMasks: boolean
}

/** Number of vector registers that instructions can name. */
export const VECTOR_REGISTERS = 32
const REGISTER_BYTES = 64
const FIELDS = [R_REG0, R_REG1, R_REG2, R_IMM]

/**
 * Which registers the instructions of a region name, and how each is used most.
 *
 * @param vectorBytes - of a register, all of which VEX writes
 */
export function planVectors(
  memory: RecordMemory,
  instructions: Iterable<RegionInstruction<FormSource>>,
  vectorBytes: number,
): VectorPlan | undefined {
  const votes = Array.from({ length: VECTOR_REGISTERS }, () => ({ whole: 0, f64: 0, f32: 0, lanes: 0 }))
  let hasMasks = false
  for (const { form: source, record } of instructions) {
    if (source === undefined) continue
    const { operands, evex, vex } = source.form
    hasMasks ||= evex !== undefined || operands.some(({ kind }) => kind === 'mask')
    for (const i of operands.keys()) {
      const register = vectorOperand(memory, record, source.form, i)
      if (register === undefined) continue
      const vote = votes[register]!
      vote.lanes = Math.max(vote.lanes, vex ? vectorBytes >> 4 : 0, 2)
      const format = formatOf(source, i)
      if (format !== undefined) vote[format]++
    }
  }
  const count = votes.findLastIndex(({ lanes }) => lanes > 0) + 1
  if (!hasMasks && count === 0) return undefined
  const registers = votes.slice(0, count).map(({ whole, f64, f32, lanes }) => {
    if (lanes === 0) return undefined
    const format: VectorFormat = f64 > whole && f64 >= f32 ? 'f64' : f32 > whole ? 'f32' : 'whole'
    return { format, lanes }
  })
  return { registers, hasMasks }
}

/** The number of the vector register that is operand `i` of an instruction; undefined of other operands. */
export function vectorOperand(memory: RecordMemory, record: number, { operands }: Form, i: number): number | undefined {
  if (operands[i]!.kind !== 'xmm') return undefined
  const register = (memory.u16[(record + FIELDS[i]!) >>> 1]! - S_XMM) / REGISTER_BYTES
  return Number.isInteger(register) && register >= 0 && register < VECTOR_REGISTERS ? register : undefined
}

/** The format that suits operand `i` of an instruction; undefined where none matters. */
function formatOf({ semantics }: FormSource, i: number): VectorFormat | undefined {
  const { numbers, moves } = semantics
  if (moves !== undefined) return undefined
  if (numbers?.isScalar !== true) return 'whole'
  return (i === 0 ? numbers.bits : (numbers.from ?? numbers.bits)) === 64 ? 'f64' : 'f32'
}
