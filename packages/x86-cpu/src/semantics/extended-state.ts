import { I32, I64, V128, numeric, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import { SLOW_WRITE } from '../access-flags.ts'
import {
  MODE_64,
  S_CPL,
  S_CR0,
  S_CR4,
  S_FCS,
  S_FCW,
  S_FDP,
  S_FDS,
  S_FIP,
  S_FOP,
  S_FPR,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_MODE,
  S_MONITOR_LINE,
  S_MXCSR,
  S_PKRU,
  S_XCR0,
  S_XMM,
} from '../state-layout.ts'
import { CR0_TS, CR4_OSXSAVE, RAX, XCR0_AVX, XCR0_PKRU, XCR0_SSE, XCR0_X87 } from '../system/architecture.ts'
import {
  A_FCS,
  A_FCW,
  A_FDP,
  A_FDS,
  A_FIP,
  A_FOP,
  A_FSW,
  A_FTW,
  A_HEADER,
  A_MXCSR,
  A_ST,
  A_XCOMP_BV,
  A_XMM,
  A_YMM,
  FCW_INITIAL,
  FSW_EXCEPTIONS,
  FSW_SUMMARY,
  FSW_WITHOUT_TOP,
  MXCSR_INITIAL,
  MXCSR_MASK,
} from '../system/fpu-image.ts'
import { AVX, PKRU } from '../system/state-components.ts'
import type { Context } from './context.ts'
import { leaveIf } from './flat-segments.ts'
import { field } from './privilege.ts'
import { Area, areaOf } from './state-area.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/**
 * XSAVE, XRSTOR and their relatives, where the TLB has the whole area. All other cases, and those that raise an exception,
 * are in `system/fpu-state.ts`.
 */

/** XCOMP_BV bit 63: the compacted form. */
const COMPACTED = -0x8000_0000
const ST_REGISTERS = 8
/** The bits of an x87 register in its 16 bytes. */
const EXTENDED = V128.of([255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0])
const ZERO = V128.of([])
/** Bytes of the XMM registers in an area: half of them outside 64-bit mode. */
const VECTOR_BYTES = 256
/** Where a vector register's upper half is. */
const UPPER = 16

const or = (a: V128, b: V128): V128 => numeric('v128.or', a, b)

/** Leaves the instruction to its handler where it raises #UD, #NM or #GP(0) whatever its operand is. */
function requireEnabled(c: Context, isSupervisor: boolean): void {
  const disabled = field(c, S_CR4).and(CR4_OSXSAVE).eqz()
  const wrong = disabled.or(field(c, S_CR0).and(CR0_TS))
  leaveIf(c, isSupervisor ? wrong.or(field(c, S_CPL)) : wrong)
}

/** The components asked for: XCR0 and EDX:EAX, whose upper half has none. */
function requested(c: Context): I32 {
  return c.let(field(c, S_XCR0).and(c.gprU(RAX, 4).toI32()))
}

const isLong = (f: FunctionBuilder, state: I32): I32 => f.loadExpression('i32.load', state, S_MODE).eq(MODE_64)

/** Emits code for each vector register of the mode: `at` is 16 times its number. */
function eachVector(f: FunctionBuilder, state: I32, body: (at: I32, register: I32) => void): void {
  const at = f.local('i32')
  const end = f.let(select(isLong(f, state), I32.of(VECTOR_BYTES), I32.of(VECTOR_BYTES / 2)))
  f.set(at, I32.of(0))
  f.loop((again) => {
    f.scope(() => body(at.get, f.let(state.add(at.get.shl(2)))))
    f.set(at, at.get.add(16))
    f.brIf(at.get.ltU(end), again)
  })
}

/** Emits code for each x87 register: machine address of ST(i), and its offset in an area. */
function eachStackRegister(f: FunctionBuilder, state: I32, body: (register: I32, offset: number) => void): void {
  const top = f.load('i32.load', state, S_FTOP)
  for (let i = 0; i < ST_REGISTERS; i++) {
    const number = top.add(i).and(ST_REGISTERS - 1)
    f.scope(() => body(f.let(state.add(number.shl(4))), A_ST + 16 * i))
  }
}

// ---------------------------------------------------------------- XINUSE

/** `(state) → XINUSE`: as `inUse` of `system/state-components.ts` has it. */
function inUse(c: Context): I32 {
  const callee = c.shared('stateInUse', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
    const double = (offset: number): I64 => f.loadExpression('i64.load', state, offset)
    const vector = (offset: number): V128 => f.loadExpression('v128.load', state, offset)
    const isAny = (v: V128): I32 => numeric('v128.any_true', v)
    const registers = (base: number, stride: number, count: number): V128 =>
      Array.from({ length: count }, (_, i) => vector(base + stride * i)).reduce(or)

    const control = word(S_FCW)
      .xor(FCW_INITIAL)
      .or(word(S_FSW))
      .or(word(S_FTOP))
      .or(word(S_FTAG_EMPTY).xor(0xff))
      .or(word(S_FOP))
      .or(double(S_FIP).or(double(S_FDP)).ne(0n))
    const stack = isAny(numeric('v128.and', registers(S_FPR, 16, ST_REGISTERS), EXTENDED))
    const used = f.local('i32')
    f.set(used, control.or(stack).ne(0).mul(XCR0_X87))
    f.set(used, used.get.or(word(S_PKRU).ne(0).mul(XCR0_PKRU)))
    for (const [half, bit] of [
      [0, XCR0_SSE],
      [UPPER, XCR0_AVX],
    ] as const) {
      const all = f.local('v128')
      f.set(all, registers(S_XMM + half, 64, 8))
      f.if(isLong(f, state), () => f.set(all, or(all.get, registers(S_XMM + half + 64 * 8, 64, 8))))
      f.set(used, used.get.or(isAny(all.get).mul(bit)))
    }
    f.return(used.get)
  })
  return c.f.call(callee, c.state)
}

// ---------------------------------------------------------------- saving

function storeX87(area: Area, state: I32, wide: I32): void {
  const { f } = area
  const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
  const start = area.at(0)
  f.store('i32.store16', start, word(S_FCW), A_FCW)
  f.store('i32.store16', start, word(S_FSW).and(FSW_WITHOUT_TOP).or(word(S_FTOP).shl(11)), A_FSW)
  f.store('i32.store16', start, word(S_FTAG_EMPTY).xor(-1).and(0xff), A_FTW)
  f.store('i32.store16', start, word(S_FOP).and(0x7ff), A_FOP)
  f.if(
    wide,
    () => {
      f.store('i64.store', start, f.loadExpression('i64.load', state, S_FIP), A_FIP)
      f.store('i64.store', start, f.loadExpression('i64.load', state, S_FDP), A_FDP)
    },
    () => {
      f.store('i32.store', start, word(S_FIP), A_FIP)
      f.store('i32.store', start, word(S_FCS).and(0xffff), A_FCS)
      f.store('i32.store', start, word(S_FDP), A_FDP)
      f.store('i32.store', start, word(S_FDS).and(0xffff), A_FDS)
    },
  )
  eachStackRegister(f, state, (register, offset) => {
    const value = numeric('v128.and', f.loadExpression('v128.load', register, S_FPR), EXTENDED)
    f.store('v128.store', area.at(offset), value)
  })
}

function storeVectors(area: Area, state: I32, half: number, offset: number): void {
  const { f } = area
  eachVector(f, state, (at, register) =>
    f.store('v128.store', area.at(at.add(offset)), f.loadExpression('v128.load', register, S_XMM + half)),
  )
}

/** Stores components, and MXCSR where `mxcsr` is not 0. */
function storeComponents(c: Context, area: Area, written: I32, mxcsr: I32, pkruAt: I32 | number): void {
  const { f, state } = c
  const callee = c.shared('saveState', ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], undefined, (g) => {
    const [own, what, wide] = [0, 1, 2].map((i) => g.param(i, 'i32').get) as [I32, I32, I32]
    const to = Area.of(g, 3)
    g.if(what.and(XCR0_X87), () => storeX87(to, own, wide))
    g.if(what.and(XCR0_SSE), () => storeVectors(to, own, 0, A_XMM))
    g.if(what.and(XCR0_AVX), () => storeVectors(to, own, UPPER, AVX.standard))
  })
  f.call(callee, state, written, I32.of(c.form.size === 8 ? 1 : 0), ...area.operands)
  f.if(mxcsr, () => {
    area.store(A_MXCSR, field(c, S_MXCSR))
    area.store(A_MXCSR + 4, I32.of(MXCSR_MASK))
  })
  f.if(written.and(XCR0_PKRU), () =>
    f.store('i64.store', area.at(pkruAt), f.loadExpression('i64.load32_u', state, S_PKRU)),
  )
}

/** XSAVE, and XSAVEOPT, which leaves out what is in its initial configuration. */
function save(optimise: boolean): Semantics {
  return quick((c) => {
    requireEnabled(c, false)
    const area = areaOf(c, SLOW_WRITE)
    const components = requested(c)
    const used = c.let(inUse(c).and(components))
    area.store(A_HEADER, area.load(A_HEADER).and(components.xor(-1)).or(used))
    const written = optimise ? used : components
    storeComponents(c, area, written, components.and(XCR0_SSE | XCR0_AVX), PKRU.standard)
  })
}

/** Where PKRU is in an area in the compacted form: behind AVX, if that has room there. */
function compactedPkru(c: Context, layout: I32): I32 {
  return c.let(select(layout.and(XCR0_AVX), I32.of(PKRU.standard), I32.of(A_YMM)))
}

/** XSAVEC and XSAVES. */
function saveCompacted(isSupervisor: boolean): Semantics {
  return quick((c) => {
    requireEnabled(c, isSupervisor)
    const area = areaOf(c, SLOW_WRITE)
    const components = requested(c)
    const isMxcsrUsed = field(c, S_MXCSR).ne(MXCSR_INITIAL).mul(XCR0_SSE)
    const written = c.let(inUse(c).or(isMxcsrUsed).and(components))
    area.store(A_HEADER, written)
    area.store(A_HEADER + 4, I32.of(0))
    area.store(A_XCOMP_BV, components)
    area.store(A_XCOMP_BV + 4, I32.of(COMPACTED))
    storeComponents(c, area, written, written.and(XCR0_SSE), compactedPkru(c, components))
  })
}

// ---------------------------------------------------------------- restoring

function loadX87(area: Area, state: I32, wide: I32): void {
  const { f } = area
  const start = area.at(0)
  const put = (offset: number, value: I32): void => f.store('i32.store', state, value, offset)
  const word = (offset: number): I32 => f.loadExpression('i32.load', start, offset)
  // Bits 7, 13 to 15 read as zero, and bit 6 as one.
  const control = f.let(f.loadExpression('i32.load16_u', start, A_FCW).and(0x1f7f).or(0x40))
  const status = f.let(f.loadExpression('i32.load16_u', start, A_FSW))
  const flags = f.let(status.and(FSW_WITHOUT_TOP & ~FSW_SUMMARY))
  const isPending = flags.and(control.xor(-1)).and(FSW_EXCEPTIONS).ne(0)
  put(S_FCW, control)
  put(S_FSW, flags.or(isPending.mul(FSW_SUMMARY)))
  put(S_FTOP, status.shrU(11).and(7))
  put(S_FTAG_EMPTY, f.loadExpression('i32.load8_u', start, A_FTW).xor(0xff))
  eachStackRegister(f, state, (register, offset) => {
    const from = area.at(offset)
    f.store('i64.store', register, f.loadExpression('i64.load', from), S_FPR)
    f.store('i32.store16', register, f.loadExpression('i32.load16_u', from, 8), S_FPR + 8)
  })
  put(S_FOP, f.loadExpression('i32.load16_u', start, A_FOP).and(0x7ff))
  f.if(
    wide,
    () => {
      f.store('i64.store', state, f.loadExpression('i64.load', start, A_FIP), S_FIP)
      f.store('i64.store', state, f.loadExpression('i64.load', start, A_FDP), S_FDP)
      put(S_FCS, I32.of(0))
      put(S_FDS, I32.of(0))
    },
    () => {
      f.store('i64.store', state, word(A_FIP).toI64U(), S_FIP)
      f.store('i64.store', state, word(A_FDP).toI64U(), S_FDP)
      put(S_FCS, word(A_FCS).and(0xffff))
      put(S_FDS, word(A_FDS).and(0xffff))
    },
  )
}

function initialiseX87(f: FunctionBuilder, state: I32): void {
  f.store('i32.store', state, I32.of(FCW_INITIAL), S_FCW)
  for (const offset of [S_FSW, S_FTOP, S_FOP, S_FCS, S_FDS]) f.store('i32.store', state, I32.of(0), offset)
  f.store('i32.store', state, I32.of(0xff), S_FTAG_EMPTY)
  for (const offset of [S_FIP, S_FDP]) f.store('i64.store', state, I64.of(0), offset)
  for (let i = 0; i < ST_REGISTERS; i++) f.store('v128.store', state, ZERO, S_FPR + 16 * i)
}

function loadVectors(area: Area, state: I32, half: number, offset: number): void {
  const { f } = area
  eachVector(f, state, (at, register) =>
    f.store('v128.store', register, f.loadExpression('v128.load', area.at(at.add(offset))), S_XMM + half),
  )
}

function clearVectors(f: FunctionBuilder, state: I32, half: number): void {
  eachVector(f, state, (_, register) => f.store('v128.store', register, ZERO, S_XMM + half))
}

/** Loads the components that are in the area, and initialises the others that are asked for. */
function loadComponents(c: Context, area: Area, components: I32, present: I32): void {
  const callee = c.shared('restoreState', ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], undefined, (g) => {
    const [own, asked, there, wide] = [0, 1, 2, 3].map((i) => g.param(i, 'i32').get) as [I32, I32, I32, I32]
    const from = Area.of(g, 4)
    const each = (bit: number, load: () => void, initialise: () => void): void =>
      g.if(asked.and(bit), () => g.if(there.and(bit), load, initialise))
    each(
      XCR0_X87,
      () => loadX87(from, own, wide),
      () => initialiseX87(g, own),
    )
    each(
      XCR0_SSE,
      () => loadVectors(from, own, 0, A_XMM),
      () => clearVectors(g, own, 0),
    )
    each(
      XCR0_AVX,
      () => loadVectors(from, own, UPPER, AVX.standard),
      () => clearVectors(g, own, UPPER),
    )
  })
  const wide = I32.of(c.form.size === 8 ? 1 : 0)
  c.f.call(callee, c.state, components, present, wide, ...area.operands)
}

/** Whether words of the header are not zero. */
function isAnySet(area: Area, from: number, to: number): I32 {
  const { f } = area
  const header = area.at(A_HEADER)
  let all = I64.of(0)
  for (let at = from; at < to; at += 8) all = all.or(f.loadExpression('i64.load', header, at - A_HEADER))
  return all.ne(0n)
}

/** Leaves the instruction to its handler where the header is wrong. @returns whether the area has the compacted form */
function checkHeader(c: Context, area: Area, bits: I32, layout: I32, isSupervisor: boolean): I32 {
  const layoutHi = area.load(A_XCOMP_BV + 4)
  const isCompacted = c.let(layoutHi.eq(COMPACTED))
  leaveIf(c, isCompacted.eqz().and(isSupervisor ? 1 : layoutHi.or(layout).ne(0)))
  // In the standard form there is room for everything, and bytes 24 to 63 are not looked at.
  const room = select(isCompacted, layout, I32.of(-1))
  const unknown = layout.or(bits).and(field(c, S_XCR0).xor(-1))
  const absent = bits.and(room.xor(-1)).or(area.load(A_HEADER + 4))
  const isReserved = isAnySet(area, A_XCOMP_BV + 8, A_XCOMP_BV + 16)
  const isReservedToo = isCompacted.and(isAnySet(area, A_XCOMP_BV + 16, A_HEADER + 64))
  leaveIf(c, unknown.or(absent).or(isReserved).or(isReservedToo))
  return isCompacted
}

/** XRSTOR, and XRSTORS, which takes the compacted form alone. A change of PKRU is the handler's. */
function restore(isSupervisor: boolean): Semantics {
  return quick((c) => {
    const { f, state } = c
    requireEnabled(c, isSupervisor)
    // The handler ends the monitoring of a line.
    leaveIf(c, field(c, S_MONITOR_LINE))
    const area = areaOf(c, 0)
    const components = requested(c)
    const bits = area.load(A_HEADER)
    const layout = area.load(A_XCOMP_BV)
    const isCompacted = checkHeader(c, area, bits, layout, isSupervisor)
    const present = c.let(components.and(bits))
    // In the standard form MXCSR is loaded whenever SSE or AVX is asked for; in the compacted form it is SSE's alone.
    const mxcsr = c.let(select(isCompacted, present.and(XCR0_SSE), components.and(XCR0_SSE | XCR0_AVX)))
    const control = area.load(A_MXCSR)
    leaveIf(c, mxcsr.ne(0).and(control.and(~MXCSR_MASK).ne(0)))
    f.if(components.and(XCR0_PKRU), () => {
      const at = select(isCompacted, compactedPkru(c, layout), I32.of(PKRU.standard))
      const value = select(present.and(XCR0_PKRU), f.load('i32.load', area.at(at)), I32.of(0))
      leaveIf(c, value.ne(field(c, S_PKRU)))
    })

    f.if(mxcsr, () => f.store('i32.store', state, control, S_MXCSR))
    f.if(select(isCompacted, components.and(present.xor(-1)), I32.of(0)).and(XCR0_SSE), () =>
      f.store('i32.store', state, I32.of(MXCSR_INITIAL), S_MXCSR),
    )
    loadComponents(c, area, components, present)
  })
}

/**
 * AMD's processors save and restore the x87 error pointers by rules of their own, and processors without XSAVEC restore no
 * area in the compacted form: theirs are the handler's.
 */
function quick(emit: (c: Context) => void): Semantics {
  return { partial: true, called: true, intel: true, feature: 'XSAVEC', emit }
}

/** A mnemonic and its form with a prefix REX.W, which saves 64-bit x87 pointers. */
const both = (mnemonic: string, semantics: Semantics): SemanticsTable => ({
  [mnemonic]: semantics,
  [`${mnemonic}64`]: semantics,
})

export const extendedState: SemanticsTable = {
  ...both('XSAVE', save(false)),
  ...both('XSAVEOPT', save(true)),
  ...both('XSAVEC', saveCompacted(false)),
  ...both('XSAVES', saveCompacted(true)),
  ...both('XRSTOR', restore(false)),
  ...both('XRSTORS', restore(true)),
}
