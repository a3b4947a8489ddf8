import { I32, V128, extractLane, numeric, select, type I64 } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import {
  IOTA,
  begin,
  finish,
  immediateByte,
  readVector,
  readVectors,
  writeVectors,
  zeroVector,
  type ShiftOp,
} from './sse-integer-operands.ts'

/**
 * Shifts of packed integers by one count: an immediate, or the low 64 bits of a vector.
 *
 * Source: Intel SDM vol. 2, PSLLW/PSLLD/PSLLQ, PSRLW/PSRLD/PSRLQ, PSRAW/PSRAD, PSLLDQ, PSRLDQ.
 */

/** Counts beyond the lane shift everything out; WebAssembly takes them modulo its width. */
function shift(op: ShiftOp, bits: number): Semantics {
  const arithmetic = op.endsWith('shr_s')
  return direct((c) => {
    begin(c)
    const last = c.firstSource + 1
    const count: I64 =
      c.kindOf(last) === 'imm'
        ? immediateByte(c).toI64U()
        : c.let(extractLane('i64x2.extract_lane', readVector(c, last), 0))
    const within = c.let(count.ltU(bits))
    const results = readVectors(c, c.firstSource).map((value) =>
      arithmetic
        ? numeric(op, value, select(within, count.toI32(), I32.of(bits - 1)))
        : select(within, numeric(op, value, count.toI32()), zeroVector()),
    )
    writeVectors(c, 0, results)
    finish(c)
  })
}

/** PSLLDQ, PSRLDQ: the register by bytes. Indices outside 0–15 swizzle in zeros. */
function shiftBytes(left: boolean): Semantics {
  return {
    emit: (c: Context) => {
      begin(c)
      const bytes = immediateByte(c)
      const count = numeric('i8x16.splat', select(bytes.ltU(16), bytes, I32.of(16)))
      const control = c.let(numeric(left ? 'i8x16.sub' : 'i8x16.add', V128.of(IOTA), count))
      const results = readVectors(c, c.firstSource).map((value) => numeric('i8x16.swizzle', value, control))
      writeVectors(c, 0, results)
    },
  }
}

export const integerShifts: SemanticsTable = {
  PSLLW: shift('i16x8.shl', 16),
  PSLLD: shift('i32x4.shl', 32),
  PSLLQ: shift('i64x2.shl', 64),
  PSRLW: shift('i16x8.shr_u', 16),
  PSRLD: shift('i32x4.shr_u', 32),
  PSRLQ: shift('i64x2.shr_u', 64),
  PSRAW: shift('i16x8.shr_s', 16),
  PSRAD: shift('i32x4.shr_s', 32),
  PSLLDQ: shiftBytes(true),
  PSRLDQ: shiftBytes(false),
}
