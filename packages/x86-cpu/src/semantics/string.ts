import { I32 } from '@retrap/wasm-emitter'
import type { I64 } from '@retrap/wasm-emitter'
import { ES, S_LOGGED } from '../state-layout.ts'
import type { Context } from './context.ts'
import { loadOp, signExtend, storeOp } from './integer.ts'
import { bulkPossible, copyBulk, fillBulk } from './string-bulk.ts'
import { RAX, RDI, RSI, advance, elementAddress, sourceSegment, stride } from './string-elements.ts'
import { repeat } from './string-repeat.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/**
 * String instructions. Each iteration is complete in itself: its registers are written before the next one starts, which
 * is the progress that a fault, an interrupt or a device leaves behind (Intel SDM vol. 2B, REP).
 *
 * INS and OUTS are in `system/`, since ports are.
 */

/** A device may take several iterations at once: system/strings.ts. */
function leaveToHandler(c: Context): void {
  if (c.form.repeat === 'none') return
  c.f.if(c.f.load('i32.load', c.state, S_LOGGED).eq(1), () => c.useHandler())
}

function moveString(c: Context): void {
  const size = c.form.size
  leaveToHandler(c)
  const segment = sourceSegment(c)
  const by = stride(c)
  repeat(
    c,
    () => {
      const from = elementAddress(c, RSI, segment, false)
      const to = elementAddress(c, RDI, I32.of(ES), true)
      c.reserve(from, () => to, size)
      const value = c.loadMemory(loadOp(size, false), from, size)
      c.storeMemory(storeOp(size), to, size, value)
      advance(c, RSI, by)
      advance(c, RDI, by)
    },
    bulkPossible(c) ? { bulk: copyBulk(c, segment, by) } : {},
  )
}

function storeString(c: Context): void {
  const size = c.form.size
  leaveToHandler(c)
  const by = stride(c)
  const value = c.gprU(RAX, size)
  repeat(
    c,
    () => {
      const to = elementAddress(c, RDI, I32.of(ES), true)
      c.storeMemory(storeOp(size), to, size, value)
      advance(c, RDI, by)
    },
    bulkPossible(c) ? { bulk: fillBulk(c, value, by) } : {},
  )
}

function loadString(c: Context): void {
  const size = c.form.size
  const segment = sourceSegment(c)
  const by = stride(c)
  repeat(c, () => {
    const value = c.loadMemory(loadOp(size, false), elementAddress(c, RSI, segment, false), size)
    c.setGpr(RAX, size, value)
    advance(c, RSI, by)
  })
}

/**
 * SCAS and CMPS. The flags are those of the last iteration. A fault before it finds them as they were before the
 * instruction (SDM vol. 2B, "REP"), and so does an interrupt, however many iterations have been made at a time.
 */
function compareStrings(
  c: Context,
  operands: (left: (v: I64) => void, right: (v: I64) => void) => void,
  move: () => void,
): void {
  const f = c.f
  const size = c.form.size
  const a = f.local('i64')
  const b = f.local('i64')
  const unequal = (): I32 => a.get.ne(b.get)
  repeat(
    c,
    () => {
      operands(
        (v) => f.set(a, v),
        (v) => f.set(b, v),
      )
      move()
    },
    {
      ...(c.form.repeat === 'repe' ? { stop: unequal } : {}),
      ...(c.form.repeat === 'repne' ? { stop: (): I32 => unequal().eqz() } : {}),
      finish: () => c.flagsSub(a.get, b.get, c.let(signExtend(a.get.sub(b.get), size))),
    },
  )
}

function compareString(c: Context): void {
  const size = c.form.size
  const segment = sourceSegment(c)
  const by = stride(c)
  compareStrings(
    c,
    (left, right) => {
      // Both elements are read before either local changes: the second read may fault.
      const from = elementAddress(c, RSI, segment, false)
      const to = elementAddress(c, RDI, I32.of(ES), false)
      const first = c.loadMemory(loadOp(size, true), from, size)
      const second = c.loadMemory(loadOp(size, true), to, size)
      left(first)
      right(second)
    },
    () => {
      advance(c, RSI, by)
      advance(c, RDI, by)
    },
  )
}

function scanString(c: Context): void {
  const size = c.form.size
  const by = stride(c)
  const wanted = c.gprS(RAX, size)
  compareStrings(
    c,
    (left, right) => {
      const value = c.loadMemory(loadOp(size, true), elementAddress(c, RDI, I32.of(ES), false), size)
      left(wanted)
      right(value)
    },
    () => advance(c, RDI, by),
  )
}

const SIZES = ['B', 'W', 'D', 'Q'] as const

function family(prefix: string, semantics: Semantics): SemanticsTable {
  return Object.fromEntries(SIZES.map((suffix) => [`${prefix}${suffix}`, semantics]))
}

export const strings: SemanticsTable = {
  ...family('MOVS', { emit: moveString, partial: true, compiled: true }),
  ...family('STOS', { emit: storeString, partial: true, compiled: true }),
  ...family('LODS', { emit: loadString }),
  ...family('CMPS', { emit: compareString, conditionalFlags: true }),
  ...family('SCAS', { emit: scanString, conditionalFlags: true }),
}
