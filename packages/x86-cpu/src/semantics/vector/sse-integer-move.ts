import { I32, numeric, replaceLane, type I64 } from '@retrap/wasm-emitter'
import { S_FTAG_EMPTY, S_FTOP } from '../../state/state-layout.ts'
import { loadOp } from '../integer.ts'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import { begin, finish, isMmx, pendingX87, readVectors, writeMmx, zeroVector } from './sse-integer-operands.ts'

/** Moves of integers. Source: Intel SDM vol. 2, the pages of each instruction. */

function readLow(c: Context, i: number, size: number): I64 {
  const kind = c.kindOf(i)
  if (kind === 'reg' || kind === 'mem') return c.readU(i)
  return c.f.load(loadOp(size, false), c.registerAddress(i), 0)
}

/** MOVD, MOVQ, MOVNTQ, MOVQ2DQ, MOVDQ2Q: the low `size` bytes, zero-extended to whatever they go to. */
function lowMove(size: number): Semantics {
  return direct((c) => {
    begin(c)
    const value = readLow(c, 1, size)
    const kind = c.kindOf(0)
    if (kind === 'mmx') writeMmx(c, 0, value)
    else if (kind === 'xmm') {
      c.writeV(0, replaceLane('i64x2.replace_lane', zeroVector(), 0, value))
    } else c.write(0, value)
    finish(c)
  })
}

/** EMMS: all x87 registers empty, TOP = 0. */
function emptyMmx(c: Context): void {
  c.requireMmx()
  pendingX87(c)
  c.f.store('i32.store', c.state, I32.of(0), S_FTOP)
  c.f.store('i32.store', c.state, I32.of(0xff), S_FTAG_EMPTY)
}

/** PMOVMSKB: the sign bits of all bytes. */
function signMask(c: Context): void {
  begin(c)
  const [low, high] = readVectors(c, 1).map((v) => numeric('i8x16.bitmask', v)) as [I32, I32 | undefined]
  const mask = high === undefined ? low : low.or(high.shl(16))
  c.write(0, (isMmx(c) ? mask.and(0xff) : mask).toI64U())
  finish(c)
}

export const integerMoves: SemanticsTable = {
  MOVD: lowMove(4),
  MOVQ: lowMove(8),
  PMOVMSKB: { emit: signMask },
  EMMS: { emit: emptyMmx },
}
