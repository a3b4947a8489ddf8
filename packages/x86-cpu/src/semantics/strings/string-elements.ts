import { I32, I64 } from '@retrap/wasm-emitter'
import { SLOW_WRITE } from '../../state/host.ts'
import { R_SEGMENT } from '../../state/record.ts'
import * as S from '../../state/state-layout.ts'
import type { Context } from '../context.ts'

// Where the elements of string instructions lie, and how their registers move on.

export const RAX = 0
export const RCX = 1
export const RSI = 6
export const RDI = 7

/** Linear address of an element. */
export function elementAddress(c: Context, register: number, segment: I32, write: boolean): I64 {
  const f = c.f
  const size = c.form.size
  const offset = c.gprU(register, c.form.addressSize)
  if (c.form.long) {
    // ES has no base in 64-bit mode; FS and GS may apply to the source.
    if (segment.known === S.ES) return offset
    const base = f.loadExpression('i64.load', c.state.add(segment.mul(S.SEG_BYTES)), S.S_SEGMENTS + S.SEG_BASE)
    return c.let(
      offset.add(
        f.ifElse(
          'i64',
          segment.geU(S.FS),
          () => base,
          () => I64.of(0),
        ),
      ),
    )
  }
  const rights = f.loadExpression('i32.load8_u', c.state.add(segment.mul(S.SEG_BYTES)), S.S_SEGMENTS + S.SEG_RIGHTS)
  // In a unit the segment is known, and usually flat.
  const check = (): I64 =>
    f.call(c.library.checkSegment, c.state, segment, offset, I32.of(size | (write ? SLOW_WRITE : 0))) as I64
  if (((rights.known ?? 0) & S.SEG_FLAT) !== 0 && c.form.addressSize === 4) {
    // An element may still reach beyond its end.
    if (size > 1)
      f.if(offset.gtU(2 ** 32 - size), () => {
        check()
        c.fail(S.STATUS_FAULT)
      })
    return offset
  }
  const ea = check()
  f.if(f.loadExpression('i32.load', c.state, S.S_FAULT_VECTOR).ne(-1), () => c.fail(S.STATUS_FAULT))
  return ea
}

/** Number of the segment of the source. */
export function sourceSegment(c: Context): I32 {
  return c.let(c.f.loadExpression('i32.load8_u', c.record, R_SEGMENT).and(7))
}

/** Bytes from one element to the next: ± size, as DF has it. */
export function stride(c: Context): I64 {
  const down = c.f.loadExpression('i32.load', c.state, S.S_EFLAGS).and(S.FLAG_DF)
  return c.let(
    c.f.ifElse(
      'i64',
      down,
      () => I64.of(-c.form.size),
      () => I64.of(c.form.size),
    ),
  )
}

/** Moves an index register on. */
export function advance(c: Context, register: number, by: I64): void {
  const size = c.form.addressSize
  c.setGpr(register, size, c.gprU(register, size).add(by))
}
