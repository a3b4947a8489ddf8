import { I32, I64, select } from '@retrap/wasm-emitter'
import { SLOW_WRITE } from '../state/host.ts'
import { S_CPL, S_CR0, S_CR4, S_MONITOR_LINE, S_MXCSR, S_PKRU, S_XCR0 } from '../state/state-layout.ts'
import { CR0_EM, CR0_TS, CR4_OSXSAVE, RAX, XCR0_AVX, XCR0_PKRU, XCR0_SSE, XCR0_X87 } from '../state/architecture.ts'
import { A_HEADER, A_MXCSR, A_XCOMP_BV, A_XMM_END, A_YMM, MXCSR_INITIAL, MXCSR_MASK } from '../system/fpu/fpu-image.ts'
import { COMPONENTS, PKRU } from '../state/state-components.ts'
import type { Context, Semantics, SemanticsTable } from './context.ts'
import { leaveIf } from './privileged/flat-segments.ts'
import { field } from './privileged/privilege.ts'
import { XSAVE_BYTES, areaOf, type Area } from './state-area.ts'
import { inUse, loadComponents, storeComponents } from './state-transfer.ts'

/**
 * XSAVE, FXSAVE and their relatives, where the TLB has the whole area. All other cases, and those that raise an exception,
 * are in `system/fpu/fpu-state.ts`.
 */

/** XCOMP_BV bit 63: the compacted form. */
const COMPACTED = -0x8000_0000

/** The state that FXSAVE and FXRSTOR transfer, beside MXCSR. */
const LEGACY = I32.of(XCR0_X87 | XCR0_SSE)

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

/** XSAVE, and XSAVEOPT, which leaves out what is in its initial configuration. */
function save(optimise: boolean): Semantics {
  return quick((c) => {
    requireEnabled(c, false)
    const area = areaOf(c, XSAVE_BYTES, SLOW_WRITE)
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
    const area = areaOf(c, XSAVE_BYTES, SLOW_WRITE)
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
    const area = areaOf(c, XSAVE_BYTES, 0)
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

// ---------------------------------------------------------------- FXSAVE and FXRSTOR

/** Leaves the instruction to its handler where it raises #NM. */
function requireFx(c: Context): void {
  leaveIf(c, field(c, S_CR0).and(CR0_EM | CR0_TS))
}

const fxsave: Semantics = {
  partial: true,
  called: true,
  emit: (c) => {
    requireFx(c)
    const area = areaOf(c, A_XMM_END, SLOW_WRITE)
    storeComponents(c, area, LEGACY, LEGACY, 0)
  },
}

const fxrstor: Semantics = {
  partial: true,
  called: true,
  emit: (c) => {
    requireFx(c)
    // The handler ends the monitoring of a line.
    leaveIf(c, field(c, S_MONITOR_LINE))
    const area = areaOf(c, A_XMM_END, 0)
    const control = area.load(A_MXCSR)
    leaveIf(c, control.and(~MXCSR_MASK))
    c.f.store('i32.store', c.state, control, S_MXCSR)
    loadComponents(c, area, LEGACY, LEGACY)
  },
}

/**
 * The cases of XSAVE and its relatives. A processor without XSAVEC does not restore an area in the compacted form, and one
 * with extended features has further components: the handler knows both.
 */
function quick(emit: (c: Context) => void): Semantics {
  return { partial: true, called: true, feature: 'XSAVEC', components: COMPONENTS, emit }
}

/** A mnemonic and its form with a prefix REX.W, which saves 64-bit x87 pointers. */
const both = (mnemonic: string, semantics: Semantics): SemanticsTable => ({
  [mnemonic]: semantics,
  [`${mnemonic}64`]: semantics,
})

export const extendedState: SemanticsTable = {
  ...both('FXSAVE', fxsave),
  ...both('FXRSTOR', fxrstor),
  ...both('XSAVE', save(false)),
  ...both('XSAVEOPT', save(true)),
  ...both('XSAVEC', saveCompacted(false)),
  ...both('XSAVES', saveCompacted(true)),
  ...both('XRSTOR', restore(false)),
  ...both('XRSTORS', restore(true)),
}
