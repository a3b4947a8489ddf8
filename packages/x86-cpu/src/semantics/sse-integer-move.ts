import { I32, I64, numeric } from '@retrap/wasm-emitter'
import { S_FTAG_EMPTY, S_FTOP } from '../state-layout.ts'
import { loadOp } from './context.ts'
import type { Context } from './context.ts'
import { begin, finish, isMmx, pendingX87, readVector, writeMmx } from './sse-integer-operands.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/** Moves of integers and whole vectors. Source: Intel SDM vol. 2, the pages of each instruction. */

/** 16 bytes either way. */
function wholeMove(aligned: boolean): Semantics {
  return {
    direct: true,
    emit: (c) => {
      begin(c)
      c.writeV(0, c.readV(1, aligned), aligned)
    },
  }
}

function readLow(c: Context, i: number, size: number): I64 {
  const kind = c.kindOf(i)
  if (kind === 'reg' || kind === 'mem') return c.readU(i)
  return c.f.load(loadOp(size, false), c.registerAddress(i), 0)
}

/** MOVD, MOVQ, MOVNTQ, MOVQ2DQ, MOVDQ2Q: the low `size` bytes, zero-extended to whatever they go to. */
function lowMove(size: number): Semantics {
  return {
    direct: true,
    emit: (c) => {
      begin(c)
      const value = readLow(c, 1, size)
      const kind = c.kindOf(0)
      if (kind === 'mmx') writeMmx(c, 0, value)
      else if (kind === 'xmm') {
        const register = c.let(c.registerAddress(0))
        c.f.store('i64.store', register, value, 0)
        c.f.store('i64.store', register, I64.of(0), 8)
      } else c.write(0, value)
      finish(c)
    },
  }
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
  const mask = numeric('i8x16.bitmask', readVector(c, 1))
  c.write(0, (isMmx(c) ? mask.and(0xff) : mask).toI64U())
  finish(c)
}

export const integerMoves: SemanticsTable = {
  MOVDQA: wholeMove(true),
  MOVDQU: wholeMove(false),
  MOVNTDQ: wholeMove(true),
  MOVNTDQA: wholeMove(true),
  LDDQU: wholeMove(false),
  MOVD: lowMove(4),
  MOVQ: lowMove(8),
  MOVNTQ: lowMove(8),
  MOVQ2DQ: lowMove(8),
  MOVDQ2Q: lowMove(8),
  PMOVMSKB: { emit: signMask },
  EMMS: { emit: emptyMmx },
}
