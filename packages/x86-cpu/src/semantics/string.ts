import { I32, I64 } from '@retrap/wasm-emitter'
import type { Label } from '@retrap/wasm-emitter'
import { R_SEGMENT } from '../record.ts'
import {
  ES,
  FLAG_DF,
  FLAG_TF,
  FS,
  SEG_BASE,
  SEG_BYTES,
  SEG_FLAT,
  SEG_RIGHTS,
  STATUS_CONTINUE,
  STATUS_FAULT,
  S_ATTENTION,
  S_BUDGET,
  S_EFLAGS,
  S_FAULT_VECTOR,
  S_ITERATIONS,
  S_LOGGED,
  S_SEGMENTS,
} from '../state-layout.ts'
import { SLOW_WRITE } from '../access-flags.ts'
import { TLB_INDEX_MASK, TLB_WRITE_OFFSET } from '../tlb-layout.ts'
import { loadOp, signExtend, storeOp, zeroExtend } from './integer.ts'
import type { Context } from './context.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/**
 * String instructions. Each iteration is complete in itself: its registers are written before the next one starts, which
 * is the progress that a fault, an interrupt or a device leaves behind (Intel SDM vol. 2B, REP).
 *
 * INS and OUTS are in `system/`, since ports are.
 */

const RAX = 0
const RCX = 1
const RSI = 6
const RDI = 7

/** Linear address of an element. */
function elementAddress(c: Context, register: number, segment: I32, write: boolean): I64 {
  const f = c.f
  const size = c.form.size
  const offset = c.gprU(register, c.form.addressSize)
  if (c.form.long) {
    // ES has no base in 64-bit mode; FS and GS may apply to the source.
    if (segment.known === ES) return offset
    const base = f.loadExpression('i64.load', c.state.add(segment.mul(SEG_BYTES)), S_SEGMENTS + SEG_BASE)
    return c.let(
      offset.add(
        f.ifElse(
          'i64',
          segment.geU(FS),
          () => base,
          () => I64.of(0),
        ),
      ),
    )
  }
  const rights = f.loadExpression('i32.load8_u', c.state.add(segment.mul(SEG_BYTES)), S_SEGMENTS + SEG_RIGHTS)
  // In a unit the segment is known, and usually flat.
  if (((rights.known ?? 0) & SEG_FLAT) !== 0 && c.form.addressSize === 4) return offset
  const ea = f.call(c.library.checkSegment, c.state, segment, offset, I32.of(size | (write ? SLOW_WRITE : 0))) as I64
  f.if(f.loadExpression('i32.load', c.state, S_FAULT_VECTOR).ne(-1), () => c.fail(STATUS_FAULT))
  return ea
}

function sourceSegment(c: Context): I32 {
  return c.let(c.f.loadExpression('i32.load8_u', c.record, R_SEGMENT).and(7))
}

/** Bytes from one element to the next: ± size, as DF has it. */
function stride(c: Context): I64 {
  const down = c.f.loadExpression('i32.load', c.state, S_EFLAGS).and(FLAG_DF)
  return c.let(
    c.f.ifElse(
      'i64',
      down,
      () => I64.of(-c.form.size),
      () => I64.of(c.form.size),
    ),
  )
}

function advance(c: Context, register: number, by: I64): void {
  const size = c.form.addressSize
  c.setGpr(register, size, c.gprU(register, size).add(by))
}

interface Bulk {
  /** Tries to do several iterations at once; on success advances pointers itself and gives their number, else zero. */
  (remaining: I64): I64
}

/**
 * Runs `iteration` once, or as often as RCX says.
 *
 * @param stop - after an iteration: non-zero ends the repetition (REPE, REPNE)
 * @param finish - runs when the instruction has ended, and where a single-step trap comes between two iterations
 */
function repeat(
  c: Context,
  iteration: () => void,
  options: { bulk?: Bulk; stop?: () => I32; finish?: () => void } = {},
): void {
  const f = c.f
  const { bulk, stop, finish } = options
  if (c.form.repeat === 'none') {
    iteration()
    finish?.()
    return
  }
  const size = c.form.addressSize
  // The dispatch loop takes the budget back from the state.
  c.jumps = true
  const one = f.load('i32.load', c.state, S_LOGGED)
  // Iterations are counted in a local, and charged where the instruction is left.
  const budget = f.load('i32.load', c.state, S_BUDGET)
  const left = f.local('i32')
  f.set(left, budget)
  const charge = (): void => {
    const made = f.loadExpression('i32.load', c.state, S_ITERATIONS).add(budget.sub(left.get))
    f.store('i32.store', c.state, made, S_ITERATIONS)
    f.store('i32.store', c.state, left.get, S_BUDGET)
  }
  const status = f.local('i32')
  f.block((failed: Label) => {
    c.failure = { label: failed, status }
    f.block((done: Label) => {
      // RCX = 0: nothing is accessed and no flag changes.
      const initial = c.gprU(RCX, size)
      f.if(initial.eqz(), () => f.return(0))
      f.loop((next) => {
        const remaining = c.gprU(RCX, size)
        const count = f.local('i64')
        f.set(count, I64.of(0))
        if (bulk !== undefined) f.if(one.eqz(), () => f.set(count, bulk(affordable(c, remaining, left.get))))
        f.if(count.get.eqz(), () => {
          iteration()
          f.set(count, I64.of(1))
        })
        f.set(left, left.get.sub(count.get.toI32()))
        const rest = f.let(zeroExtend(remaining.sub(count.get), size))
        c.setGpr(RCX, size, rest)
        f.brIf(rest.eqz(), done)
        if (stop !== undefined) f.brIf(stop(), done)
        const attention = f.loadExpression('i32.load', c.state, S_ATTENTION)
        f.if(left.get.leS(0).or(one).or(attention), () => {
          if (finish !== undefined) f.if(f.loadExpression('i32.load', c.state, S_EFLAGS).and(FLAG_TF), finish)
          c.fail(STATUS_CONTINUE)
        })
        f.br(next)
      })
    })
    c.failure = undefined
    charge()
    finish?.()
    f.return(0)
  })
  charge()
  f.return(status.get)
}

/** As many of the remaining iterations as the budget has left, and at least one. */
function affordable(c: Context, remaining: I64, budget: I32): I64 {
  const most = c.f.ifElse(
    'i64',
    budget.gtS(0),
    () => budget.toI64U(),
    () => I64.of(1),
  )
  return least(c, remaining, c.let(most))
}

/** Host address of an element if its page is in the TLB, else 0; and how many elements are left in the page. */
function hostOf(c: Context, ea: I64, table: number): { host: I32; elements: I64 } {
  const f = c.f
  const size = c.form.size
  const entry = f.let(c.tlbBase().add(ea.shrU(8).toI32().and(TLB_INDEX_MASK)))
  const distance = f.let(ea.sub(f.loadExpression('i64.load', entry, table)))
  const host = f.local('i32')
  f.set(host, I32.of(0))
  f.if(distance.ltU(0x1000), () => f.set(host, f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())))
  return { host: host.get, elements: f.let(I64.of(0x1000).sub(ea.and(0xfff)).shrU(Math.log2(size))) }
}

function least(c: Context, a: I64, b: I64): I64 {
  return c.let(
    c.f.ifElse(
      'i64',
      a.ltU(b),
      () => a,
      () => b,
    ),
  )
}

/** Bulk work goes upwards, and only where offsets cannot wrap or leave the segment: 64-bit addresses, or flat segments. */
function bulkPossible(c: Context): boolean {
  if (c.form.repeat === 'none') return false
  return c.form.long ? c.form.addressSize === 8 : c.form.addressSize === 4
}

/** Whether bulk work may use these segments: outside 64-bit mode they must be flat. A page does not reach beyond 4 GiB. */
function isBulkSegment(c: Context, ...segments: readonly I32[]): I32 {
  if (c.form.long) return I32.of(1)
  const rights = segments.map((segment) =>
    c.f.loadExpression('i32.load8_u', c.state.add(segment.mul(SEG_BYTES)), S_SEGMENTS + SEG_RIGHTS),
  )
  return c.let(rights.reduce((all, each) => all.and(each)).and(SEG_FLAT))
}

/** Linear address of an element for bulk work. */
function bulkAddress(c: Context, register: number, segment: I32, write: boolean): I64 {
  // A flat segment has no base, and nothing to check.
  return c.form.long ? elementAddress(c, register, segment, write) : c.gprU(register, 4)
}

/** A device may take several iterations at once: system/strings.ts. */
function leaveToHandler(c: Context): void {
  if (c.form.repeat === 'none') return
  c.f.if(c.f.load('i32.load', c.state, S_LOGGED).eq(1), () => c.useHandler())
}

function moveString(c: Context): void {
  const f = c.f
  const size = c.form.size
  leaveToHandler(c)
  const segment = sourceSegment(c)
  const by = stride(c)
  const flat = bulkPossible(c) ? isBulkSegment(c, segment, I32.of(ES)) : I32.of(0)
  const bulk: Bulk = (remaining) => {
    const done = f.local('i64')
    f.set(done, I64.of(0))
    f.if(by.gtS(0).and(flat.ne(0)), () => {
      const from = hostOf(c, bulkAddress(c, RSI, segment, false), 0)
      const to = hostOf(c, bulkAddress(c, RDI, I32.of(ES), true), TLB_WRITE_OFFSET)
      const count = least(c, remaining, least(c, from.elements, to.elements))
      const bytes = f.let(count.shl(Math.log2(size)))
      // A destination a little above the source repeats a pattern: element by element, then.
      const apart = to.host.sub(from.host).geU(bytes.toI32())
      f.if(from.host.ne(0).and(to.host.ne(0)).and(count.ne(0)).and(apart), () => {
        f.memoryCopy(to.host, from.host, bytes.toI32())
        advance(c, RSI, bytes)
        advance(c, RDI, bytes)
        f.set(done, count)
      })
    })
    return done.get
  }
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
    bulkPossible(c) ? { bulk } : {},
  )
}

function storeString(c: Context): void {
  const f = c.f
  const size = c.form.size
  leaveToHandler(c)
  const by = stride(c)
  const value = c.gprU(RAX, size)
  const flat = bulkPossible(c) ? isBulkSegment(c, I32.of(ES)) : I32.of(0)
  const bulk: Bulk = (remaining) => {
    const done = f.local('i64')
    f.set(done, I64.of(0))
    f.if(by.gtS(0).and(flat.ne(0)), () => {
      const to = hostOf(c, bulkAddress(c, RDI, I32.of(ES), true), TLB_WRITE_OFFSET)
      const count = least(c, remaining, to.elements)
      const bytes = f.let(count.shl(Math.log2(size)))
      f.if(to.host.ne(0).and(count.ne(0)), () => {
        const fill = (): void => f.memoryFill(to.host, value.toI32(), bytes.toI32())
        if (size === 1) fill()
        else {
          f.if(value.eqz(), fill, () => {
            const at = f.local('i32')
            const end = f.let(to.host.add(bytes.toI32()))
            f.set(at, to.host)
            f.loop((next) => {
              f.store(storeOp(size), at.get, value)
              f.set(at, at.get.add(size))
              f.brIf(at.get.ltU(end), next)
            })
          })
        }
        advance(c, RDI, bytes)
        f.set(done, count)
      })
    })
    return done.get
  }
  repeat(
    c,
    () => {
      const to = elementAddress(c, RDI, I32.of(ES), true)
      c.storeMemory(storeOp(size), to, size, value)
      advance(c, RDI, by)
    },
    bulkPossible(c) ? { bulk } : {},
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
