import { I32, I64, V128, numeric, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import { XCR0_AVX, XCR0_PKRU, XCR0_SSE, XCR0_X87 } from '../state/architecture.ts'
import * as fpuImage from '../system/fpu/fpu-image.ts'
import { AVX } from '../state/state-components.ts'
import type { Context } from './context.ts'
import { field } from './privileged/privilege.ts'
import { Area } from './state-area.ts'

/**
 * The transfers of the instructions that save and restore extended state: x87 state, vector registers, MXCSR and PKRU, between
 * the processor and an area that may be accessed.
 */

const ST_REGISTERS = 8
/** The bits of an x87 register in its 16 bytes. */
const EXTENDED = V128.of([255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0])
const ZERO = V128.of([])
/** Bytes of the XMM registers in an area: half of them outside 64-bit mode. */
const VECTOR_BYTES = 256
/** Where a vector register's upper half is. */
const UPPER = 16

const or = (a: V128, b: V128): V128 => numeric('v128.or', a, b)

const isLong = (f: FunctionBuilder, state: I32): I32 => f.loadExpression('i32.load', state, S.S_MODE).eq(S.MODE_64)

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
  const top = f.load('i32.load', state, S.S_FTOP)
  for (let i = 0; i < ST_REGISTERS; i++) {
    const number = top.add(i).and(ST_REGISTERS - 1)
    f.scope(() => body(f.let(state.add(number.shl(4))), fpuImage.A_ST + 16 * i))
  }
}

/** Whether the x87 error pointers are left out: AMD's processors have a rule for saving and one for restoring them. */
function leavesPointers(f: FunctionBuilder, state: I32, rule: number, status: I32): I32 {
  const rules = f.loadExpression('i32.load', state, S.S_POINTER_RULES)
  return rules.and(rule).ne(0).and(status.and(fpuImage.FSW_ES).eqz())
}

/** `(state) → XINUSE`: as `inUse` of `system/fpu/fpu-state.ts` has it. */
export function inUse(c: Context): I32 {
  const callee = c.shared('stateInUse', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
    const double = (offset: number): I64 => f.loadExpression('i64.load', state, offset)
    const vector = (offset: number): V128 => f.loadExpression('v128.load', state, offset)
    const isAny = (v: V128): I32 => numeric('v128.any_true', v)
    const registers = (base: number, stride: number, count: number): V128 =>
      Array.from({ length: count }, (_, i) => vector(base + stride * i)).reduce(or)

    const control = word(S.S_FCW)
      .xor(fpuImage.FCW_INITIAL)
      .or(word(S.S_FSW))
      .or(word(S.S_FTOP))
      .or(word(S.S_FTAG_EMPTY).xor(0xff))
      .or(word(S.S_FOP))
      .or(double(S.S_FIP).or(double(S.S_FDP)).ne(0n))
    const stack = isAny(numeric('v128.and', registers(S.S_FPR, 16, ST_REGISTERS), EXTENDED))
    const used = f.local('i32')
    f.set(used, control.or(stack).ne(0).mul(XCR0_X87))
    f.set(used, used.get.or(word(S.S_PKRU).ne(0).mul(XCR0_PKRU)))
    for (const [half, bit] of [
      [0, XCR0_SSE],
      [UPPER, XCR0_AVX],
    ] as const) {
      const all = f.local('v128')
      f.set(all, registers(S.S_XMM + half, 64, 8))
      f.if(isLong(f, state), () => f.set(all, or(all.get, registers(S.S_XMM + half + 64 * 8, 64, 8))))
      f.set(used, used.get.or(isAny(all.get).mul(bit)))
    }
    f.return(used.get)
  })
  return c.f.call(callee, c.state)
}

// ---------------------------------------------------------------- saving

function storePointers(f: FunctionBuilder, state: I32, start: I32, wide: I32): void {
  const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
  f.store('i32.store16', start, word(S.S_FOP).and(0x7ff), fpuImage.A_FOP)
  f.if(
    wide,
    () => {
      f.store('i64.store', start, f.loadExpression('i64.load', state, S.S_FIP), fpuImage.A_FIP)
      f.store('i64.store', start, f.loadExpression('i64.load', state, S.S_FDP), fpuImage.A_FDP)
    },
    () => {
      f.store('i32.store', start, word(S.S_FIP), fpuImage.A_FIP)
      f.store('i32.store', start, word(S.S_FCS).and(0xffff), fpuImage.A_FCS)
      f.store('i32.store', start, word(S.S_FDP), fpuImage.A_FDP)
      f.store('i32.store', start, word(S.S_FDS).and(0xffff), fpuImage.A_FDS)
    },
  )
}

function storeX87(area: Area, state: I32, wide: I32): void {
  const { f } = area
  const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
  const start = area.at(0)
  f.store('i32.store16', start, word(S.S_FCW), fpuImage.A_FCW)
  f.store('i32.store16', start, word(S.S_FSW).and(fpuImage.FSW_WITHOUT_TOP).or(word(S.S_FTOP).shl(11)), fpuImage.A_FSW)
  f.store('i32.store16', start, word(S.S_FTAG_EMPTY).xor(-1).and(0xff), fpuImage.A_FTW)
  f.if(
    leavesPointers(f, state, S.POINTERS_SAVED_PENDING, word(S.S_FSW)),
    () => {
      f.store('i32.store16', start, I32.of(0), fpuImage.A_FOP)
      for (const at of [fpuImage.A_FIP, fpuImage.A_FDP]) f.store('i64.store', start, I64.of(0), at)
    },
    () => storePointers(f, state, start, wide),
  )
  eachStackRegister(f, state, (register, offset) => {
    const value = numeric('v128.and', f.loadExpression('v128.load', register, S.S_FPR), EXTENDED)
    f.store('v128.store', area.at(offset), value)
  })
}

function storeVectors(area: Area, state: I32, half: number, offset: number): void {
  const { f } = area
  eachVector(f, state, (at, register) =>
    f.store('v128.store', area.at(at.add(offset)), f.loadExpression('v128.load', register, S.S_XMM + half)),
  )
}

/** Stores components, and MXCSR where `mxcsr` is not 0. */
export function storeComponents(c: Context, area: Area, written: I32, mxcsr: I32, pkruAt: I32 | number): void {
  const { f, state } = c
  const callee = c.shared('saveState', ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'], undefined, (g) => {
    const [own, what, wide] = [0, 1, 2].map((i) => g.param(i, 'i32').get) as [I32, I32, I32]
    const to = Area.of(g, 3)
    g.if(what.and(XCR0_X87), () => storeX87(to, own, wide))
    g.if(what.and(XCR0_SSE), () => storeVectors(to, own, 0, fpuImage.A_XMM))
    g.if(what.and(XCR0_AVX), () => storeVectors(to, own, UPPER, AVX.standard))
  })
  f.call(callee, state, written, I32.of(c.form.size === 8 ? 1 : 0), ...area.operands)
  f.if(mxcsr, () => {
    area.store(fpuImage.A_MXCSR, field(c, S.S_MXCSR))
    area.store(fpuImage.A_MXCSR + 4, I32.of(fpuImage.MXCSR_MASK))
  })
  f.if(written.and(XCR0_PKRU), () =>
    f.store('i64.store', area.at(pkruAt), f.loadExpression('i64.load32_u', state, S.S_PKRU)),
  )
}

// ---------------------------------------------------------------- restoring

function loadPointers(f: FunctionBuilder, state: I32, start: I32, wide: I32): void {
  const put = (offset: number, value: I32): void => f.store('i32.store', state, value, offset)
  const word = (offset: number): I32 => f.loadExpression('i32.load', start, offset)
  put(S.S_FOP, f.loadExpression('i32.load16_u', start, fpuImage.A_FOP).and(0x7ff))
  f.if(
    wide,
    () => {
      f.store('i64.store', state, f.loadExpression('i64.load', start, fpuImage.A_FIP), S.S_FIP)
      f.store('i64.store', state, f.loadExpression('i64.load', start, fpuImage.A_FDP), S.S_FDP)
      put(S.S_FCS, I32.of(0))
      put(S.S_FDS, I32.of(0))
    },
    () => {
      f.store('i64.store', state, word(fpuImage.A_FIP).toI64U(), S.S_FIP)
      f.store('i64.store', state, word(fpuImage.A_FDP).toI64U(), S.S_FDP)
      put(S.S_FCS, word(fpuImage.A_FCS).and(0xffff))
      put(S.S_FDS, word(fpuImage.A_FDS).and(0xffff))
    },
  )
}

function loadX87(area: Area, state: I32, wide: I32): void {
  const { f } = area
  const start = area.at(0)
  const put = (offset: number, value: I32): void => f.store('i32.store', state, value, offset)
  // Bits 7, 13 to 15 read as zero, and bit 6 as one.
  const control = f.let(f.loadExpression('i32.load16_u', start, fpuImage.A_FCW).and(0x1f7f).or(0x40))
  const status = f.let(f.loadExpression('i32.load16_u', start, fpuImage.A_FSW))
  const flags = f.let(status.and(fpuImage.FSW_WITHOUT_TOP & ~fpuImage.FSW_SUMMARY))
  const isPending = flags.and(control.xor(-1)).and(fpuImage.FSW_EXCEPTIONS).ne(0)
  put(S.S_FCW, control)
  put(S.S_FSW, flags.or(isPending.mul(fpuImage.FSW_SUMMARY)))
  put(S.S_FTOP, status.shrU(11).and(7))
  put(S.S_FTAG_EMPTY, f.loadExpression('i32.load8_u', start, fpuImage.A_FTW).xor(0xff))
  eachStackRegister(f, state, (register, offset) => {
    const from = area.at(offset)
    f.store('i64.store', register, f.loadExpression('i64.load', from), S.S_FPR)
    f.store('i32.store16', register, f.loadExpression('i32.load16_u', from, 8), S.S_FPR + 8)
  })
  f.if(leavesPointers(f, state, S.POINTERS_RESTORED_PENDING, status).eqz(), () => loadPointers(f, state, start, wide))
}

function initialiseX87(f: FunctionBuilder, state: I32): void {
  f.store('i32.store', state, I32.of(fpuImage.FCW_INITIAL), S.S_FCW)
  for (const offset of [S.S_FSW, S.S_FTOP, S.S_FOP, S.S_FCS, S.S_FDS]) f.store('i32.store', state, I32.of(0), offset)
  f.store('i32.store', state, I32.of(0xff), S.S_FTAG_EMPTY)
  for (const offset of [S.S_FIP, S.S_FDP]) f.store('i64.store', state, I64.of(0), offset)
  for (let i = 0; i < ST_REGISTERS; i++) f.store('v128.store', state, ZERO, S.S_FPR + 16 * i)
}

function loadVectors(area: Area, state: I32, half: number, offset: number): void {
  const { f } = area
  eachVector(f, state, (at, register) =>
    f.store('v128.store', register, f.loadExpression('v128.load', area.at(at.add(offset))), S.S_XMM + half),
  )
}

function clearVectors(f: FunctionBuilder, state: I32, half: number): void {
  eachVector(f, state, (_, register) => f.store('v128.store', register, ZERO, S.S_XMM + half))
}

/** Loads the components that are in the area, and initialises the others that are asked for. */
export function loadComponents(c: Context, area: Area, components: I32, present: I32): void {
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
      () => loadVectors(from, own, 0, fpuImage.A_XMM),
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
