import { I32, type I64 } from '@retrap/wasm-emitter'
import { ES, S_LOGGED } from '../../state/state-layout.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { loadOp, signExtend, storeOp } from '../integer.ts'
import { bulkPossible, compareBulk, copyBulk, type Elements, fillBulk } from './string-bulk.ts'
import { RAX, RDI, RSI, advance, elementAddress, sourceSegment, stride } from './string-elements.ts'
import { repeat } from './string-repeat.ts'

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
function compareStrings(c: Context, sources: readonly Elements[], first?: I64): void {
  const f = c.f
  const size = c.form.size
  const by = stride(c)
  const a = f.local('i64')
  const b = f.local('i64')
  if (first !== undefined) f.set(a, first)
  const take = (...values: readonly I64[]): void => {
    // Both elements are read before either local changes: the second read may fault.
    if (first === undefined) f.set(a, values[0]!)
    f.set(b, values.at(-1)!)
  }
  const unequal = (): I32 => a.get.ne(b.get)
  const stop = c.form.repeat === 'repe' ? unequal : (): I32 => unequal().eqz()
  repeat(
    c,
    () => {
      const addresses = sources.map(({ register, segment }) => elementAddress(c, register, segment, false))
      take(...addresses.map((address) => c.loadMemory(loadOp(size, true), address, size)))
      for (const { register } of sources) advance(c, register, by)
    },
    {
      ...(bulkPossible(c) ? { bulk: compareBulk(c, by, sources, take, stop) } : {}),
      stop,
      finish: () => c.flagsSub(a.get, b.get, c.let(signExtend(a.get.sub(b.get), size))),
    },
  )
}

function compareString(c: Context): void {
  const source = { register: RSI, segment: sourceSegment(c) }
  compareStrings(c, [source, { register: RDI, segment: I32.of(ES) }])
}

function scanString(c: Context): void {
  compareStrings(c, [{ register: RDI, segment: I32.of(ES) }], c.gprS(RAX, c.form.size))
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
