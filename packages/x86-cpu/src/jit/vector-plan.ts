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

/** Scalar instructions, with the type of their elements. */
const SCALAR =
  /^V?(?:(?:ADD|SUB|MUL|DIV|SQRT|MIN|MAX|CMP|U?COMI|MOV|ROUND|CVTSI2|RCP|RSQRT|FN?M(?:ADD|SUB)\d+)S([SD])|CVTT?S([SD])2SI)$/
/** Moves and logic, which compilers use for scalars too. */
const NEUTRAL = /^V?(MOV[AU]P[DS]|PXOR|XORP[DS]|ANDN?P[DS]|ORP[DS])$/
/** Conversions between the two types. */
const CONVERSION = /^V?CVTS([DS])2S([DS])$/

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
    const { mnemonic, operands, evex, vex } = source.form
    hasMasks ||= evex !== undefined || operands.some(({ kind }) => kind === 'mask')
    for (const i of operands.keys()) {
      const register = vectorOperand(memory, record, source.form, i)
      if (register === undefined) continue
      const vote = votes[register]!
      vote.lanes = Math.max(vote.lanes, vex ? vectorBytes >> 4 : 0, 2)
      const format = formatOf(mnemonic, i)
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
function formatOf(mnemonic: string, i: number): VectorFormat | undefined {
  if (NEUTRAL.test(mnemonic)) return undefined
  const converted = CONVERSION.exec(mnemonic)
  if (converted !== null) return converted[i === 0 ? 2 : 1] === 'D' ? 'f64' : 'f32'
  const scalar = SCALAR.exec(mnemonic)
  if (scalar === null) return 'whole'
  return (scalar[1] ?? scalar[2]) === 'D' ? 'f64' : 'f32'
}
