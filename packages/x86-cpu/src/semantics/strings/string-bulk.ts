import { PAGE_BYTES } from '@retrap/memory'
import { I32, I64, numeric, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import type { Context } from '../context.ts'
import { loadOp } from '../integer.ts'
import { RDI, RSI, advance, elementAddress } from './string-elements.ts'
import { type Bulk, least } from './string-repeat.ts'

// Repeated MOVS, STOS, CMPS and SCAS of RAM, a page at a time.

/** Bytes that are copied or filled by a loop: an instruction of Wasm for any number of bytes is a call out of its code. */
const MOST_SHORT = 128

/** Host address of an element if its page is in the TLB, else 0; and how many elements are left in the page. */
function hostOf(c: Context, ea: I64, table: number): { host: I32; elements: I64 } {
  const f = c.f
  const size = c.form.size
  const entry = f.let(c.tlbBase().add(ea.toI32().shrU(8).and(S.TLB_INDEX_MASK)))
  const distance = f.let(ea.sub(f.loadExpression('i64.load', entry, table)))
  const host = f.local('i32')
  f.set(host, I32.of(0))
  f.if(distance.ltU(PAGE_BYTES), () =>
    f.set(host, f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())),
  )
  return {
    host: host.get,
    elements: f.let(
      I64.of(PAGE_BYTES)
        .sub(ea.and(PAGE_BYTES - 1))
        .shrU(Math.log2(size)),
    ),
  }
}

/** Bulk work goes upwards, and only where offsets cannot wrap or leave the segment: 64-bit addresses, or flat segments. */
export function bulkPossible(c: Context): boolean {
  if (c.form.repeat === 'none') return false
  return c.form.long ? c.form.addressSize === 8 : c.form.addressSize === 4
}

/** Whether bulk work may use these segments: outside 64-bit mode they must be flat. A page does not reach beyond 4 GiB. */
function isBulkSegment(c: Context, ...segments: readonly I32[]): I32 {
  if (c.form.long) return I32.of(1)
  const rights = segments.map((segment) =>
    c.f.loadExpression('i32.load8_u', c.state.add(segment.mul(S.SEG_BYTES)), S.S_SEGMENTS + S.SEG_RIGHTS),
  )
  return c.let(rights.reduce((all, each) => all.and(each)).and(S.SEG_FLAT))
}

/** Linear address of an element for bulk work. */
function bulkAddress(c: Context, register: number, segment: I32, write: boolean): I64 {
  // A flat segment has no base, and nothing to check.
  return c.form.long ? elementAddress(c, register, segment, write) : c.gprU(register, 4)
}

/** Copies elements upwards, as far as they lie in one page on both sides. */
export function copyBulk(c: Context, segment: I32, by: I64): Bulk {
  const f = c.f
  const flat = isBulkSegment(c, segment, I32.of(S.ES))
  return (remaining) => {
    const done = f.local('i64')
    f.set(done, I64.of(0))
    f.if(by.gtS(0).and(flat.ne(0)), () => {
      const from = hostOf(c, bulkAddress(c, RSI, segment, false), 0)
      const to = hostOf(c, bulkAddress(c, RDI, I32.of(S.ES), true), S.TLB_WRITE_OFFSET)
      const count = least(c, remaining, least(c, from.elements, to.elements))
      const bytes = f.let(count.shl(Math.log2(c.form.size)))
      const length = f.let(bytes.toI32())
      const apart = f.let(to.host.sub(from.host))
      // Where elements overlap themselves, each is loaded after the one before is stored.
      const possible = count.ne(0).and(apart.geU(c.form.size))
      f.if(from.host.ne(0).and(to.host.ne(0)).and(possible), () => {
        const copy = (): void =>
          f.if(
            length.leU(MOST_SHORT),
            () => f.call(shortCopy(c), to.host, from.host, length),
            () => f.memoryCopy(to.host, from.host, length),
          )
        f.if(apart.geU(length), copy, () => f.call(patternCopy(c), to.host, from.host, length))
        advance(c, RSI, bytes)
        advance(c, RDI, bytes)
        f.set(done, count)
      })
    })
    return done.get
  }
}

/** Stores an element upwards, as far as the page goes. */
export function fillBulk(c: Context, value: I64, by: I64): Bulk {
  const f = c.f
  const { size } = c.form
  const flat = isBulkSegment(c, I32.of(S.ES))
  return (remaining) => {
    const done = f.local('i64')
    f.set(done, I64.of(0))
    f.if(by.gtS(0).and(flat.ne(0)), () => {
      const to = hostOf(c, bulkAddress(c, RDI, I32.of(S.ES), true), S.TLB_WRITE_OFFSET)
      const count = least(c, remaining, to.elements)
      const bytes = f.let(count.shl(Math.log2(size)))
      const length = f.let(bytes.toI32())
      f.if(to.host.ne(0).and(count.ne(0)), () => {
        const isBytes = size === 1 ? I32.of(1) : value.eqz()
        f.if(
          length.gtU(MOST_SHORT).and(isBytes),
          () => f.memoryFill(to.host, value.toI32(), length),
          () => f.call(fill(c), to.host, length, value.mul(REPEATED[size]!)),
        )
        advance(c, RDI, bytes)
        f.set(done, count)
      })
    })
    return done.get
  }
}

/** The elements that one index register goes through. */
export interface Elements {
  readonly register: number
  readonly segment: I32
}

/**
 * Compares elements upwards, as far as they lie in one page each, up to the one at which the repetition ends.
 *
 * @param take - takes the values of an element of each of `sources`
 * @param stop - whether those end the repetition
 */
export function compareBulk(
  c: Context,
  by: I64,
  sources: readonly Elements[],
  take: (...values: readonly I64[]) => void,
  stop: () => I32,
): Bulk {
  const f = c.f
  const { size } = c.form
  const flat = isBulkSegment(c, ...sources.map(({ segment }) => segment))
  return (remaining) => {
    const done = f.local('i64')
    f.set(done, I64.of(0))
    f.if(by.gtS(0).and(flat.ne(0)), () => {
      const pages = sources.map(({ register, segment }) => hostOf(c, bulkAddress(c, register, segment, false), 0))
      const count = pages.reduce((most, { elements }) => least(c, most, elements), remaining)
      f.if(
        pages.reduce((all, { host }) => all.and(host.ne(0)), count.ne(0)),
        () => {
          const end = f.let(count.toI32().shl(Math.log2(size)))
          const at = f.local('i32')
          f.set(at, I32.of(0))
          f.loop((next) => {
            take(...pages.map(({ host }) => f.load(loadOp(size, true), host.add(at.get))))
            f.set(at, at.get.add(size))
            f.brIf(at.get.ltU(end).and(stop().eqz()), next)
          })
          const bytes = f.let(at.get.toI64U())
          for (const { register } of sources) advance(c, register, bytes)
          f.set(done, bytes.shrU(Math.log2(size)))
        },
      )
    })
    return done.get
  }
}

/** By bytes of an element: it times this is the element as often as 64 bits hold it. */
const REPEATED: Readonly<Record<number, bigint>> = {
  1: 0x0101_0101_0101_0101n,
  2: 0x0001_0001_0001_0001n,
  4: 0x0000_0001_0000_0001n,
  8: 1n,
}

/**
 * (to, from, bytes): copies one byte or more upwards, as `memory.copy`. The destination does not begin within the source,
 * so a store changes nothing that is still to be loaded but the end, which is loaded first.
 */
function shortCopy(c: Context): ReturnType<Context['shared']> & { readonly signature: { readonly result: undefined } } {
  return c.shared('copy of a short string', ['i32', 'i32', 'i32'], undefined, (f) => {
    const [to, from, bytes] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    byLength(
      f,
      bytes,
      () => {
        const end = f.load('v128.load', from.add(bytes).sub(16))
        const at = f.local('i32')
        const last = f.let(bytes.sub(16))
        f.set(at, I32.of(0))
        f.block((done) => {
          f.loop((next) => {
            f.brIf(at.get.geU(last), done)
            f.store('v128.store', to.add(at.get), f.load('v128.load', from.add(at.get)))
            f.set(at, at.get.add(16))
            f.br(next)
          })
        })
        f.store('v128.store', to.add(last), end)
      },
      (load, store, size) => {
        const first = f.load(load, from)
        const end = f.load(load, from.add(bytes).sub(size))
        f.store(store, to, first)
        f.store(store, to.add(bytes).sub(size), end)
      },
      () => {
        const middle = f.let(bytes.shrU(1))
        const values = [I32.of(0), middle, bytes.sub(1)].map((at) => f.load('i64.load8_u', from.add(at)))
        f.store('i64.store8', to, values[0]!)
        f.store('i64.store8', to.add(middle), values[1]!)
        f.store('i64.store8', to.add(bytes).sub(1), values[2]!)
      },
    )
  })
}

/**
 * (to, from, bytes): copies upwards byte by byte to a destination that begins within the source, which repeats the bytes
 * between the two. The copied elements repeat the pattern as well, so that each copy is twice as long as the one before.
 */
function patternCopy(c: Context): ReturnType<typeof shortCopy> {
  return c.shared('copy that repeats a pattern', ['i32', 'i32', 'i32'], undefined, (f) => {
    const [to, from, bytes] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    const end = f.let(to.add(bytes))
    const at = f.local('i32')
    f.set(at, to)
    f.loop((next) => {
      const known = f.let(at.get.sub(from))
      const left = f.let(end.sub(at.get))
      const piece = f.let(select(known.ltU(left), known, left))
      f.memoryCopy(at.get, from, piece)
      f.set(at, at.get.add(piece))
      f.brIf(at.get.ltU(end), next)
    })
  })
}

/** (to, bytes, pattern): stores elements, whose size divides 8 and the number of bytes. */
function fill(c: Context): ReturnType<Context['shared']> & { readonly signature: { readonly result: undefined } } {
  return c.shared('fill with elements', ['i32', 'i32', 'i64'], undefined, (f) => {
    const [to, bytes, pattern] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i64').get]
    byLength(
      f,
      bytes,
      () => {
        const both = f.let(numeric('i64x2.splat', pattern))
        const at = f.local('i32')
        const last = f.let(to.add(bytes).sub(16))
        f.set(at, to)
        f.block((done) => {
          f.loop((next) => {
            f.brIf(at.get.geU(last), done)
            f.store('v128.store', at.get, both)
            f.set(at, at.get.add(16))
            f.br(next)
          })
        })
        f.store('v128.store', last, both)
      },
      (_load, store, size) => {
        f.store(store, to, pattern)
        f.store(store, to.add(bytes).sub(size), pattern)
      },
      () => {
        for (const at of [I32.of(0), f.let(bytes.shrU(1)), f.let(bytes.sub(1))]) {
          f.store('i64.store8', to.add(at), pattern.shrU(at.shl(3).toI64U()))
        }
      },
    )
  })
}

/** Emits code for 16 bytes and more; for 8 and more and 4 and more, by two accesses that may overlap; and for one to three. */
function byLength(
  f: FunctionBuilder,
  bytes: I32,
  long: () => void,
  pair: (load: 'i64.load' | 'i64.load32_u', store: 'i64.store' | 'i64.store32', size: number) => void,
  rest: () => void,
): void {
  f.if(bytes.geU(16), long, () => {
    f.if(
      bytes.geU(8),
      () => pair('i64.load', 'i64.store', 8),
      () => f.if(bytes.geU(4), () => pair('i64.load32_u', 'i64.store32', 4), rest),
    )
  })
}
