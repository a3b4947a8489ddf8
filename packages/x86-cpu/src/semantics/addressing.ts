import type { FunctionBuilder, I32, I64 } from '@retrap/wasm-emitter'
import { ADDRESS_32, ADDRESS_CHECKED, R_BASE, R_DISP, R_INDEX, R_SCALE, R_SEGMENT } from '../record.ts'
import { SEG_BYTES, SEG_FLAT, SEG_RIGHTS, S_SEGMENTS } from '../state-layout.ts'

/** Addresses of memory operands, as generated code computes them from a record. */

/** base + index·scale + displacement, 64 bits, as the record has them. */
export function flatOffset(f: FunctionBuilder, state: I32, record: I32): I64 {
  const register = (field: number): I64 =>
    f.loadExpression('i64.load', state.add(f.loadExpression('i32.load16_u', record, field)), 0)
  const scale = f.loadExpression('i64.load8_u', record, R_SCALE)
  return register(R_BASE)
    .add(register(R_INDEX).shl(scale))
    .add(f.loadExpression('i64.load32_s', record, R_DISP))
}

/** Whether the operand lies in a flat segment and has a 32-bit address: 32-bit code, nearly always. */
export function isFlat32(f: FunctionBuilder, state: I32, record: I32, kind: I32): I32 {
  const segment = state.add(f.loadExpression('i32.load8_u', record, R_SEGMENT).shl(Math.log2(SEG_BYTES)))
  const rights = f.loadExpression('i32.load8_u', segment, S_SEGMENTS + SEG_RIGHTS)
  return kind.eq(ADDRESS_CHECKED | ADDRESS_32).and(rights.shrU(Math.log2(SEG_FLAT)))
}
