import { VECTOR_GP, VECTOR_NM } from '../../state/vectors.ts'
import {
  STATUS_DONE,
  S_CR0,
  S_CR4,
  S_EA,
  S_FCW,
  S_FDP,
  S_FIP,
  S_FOP,
  S_FPR,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_MXCSR,
  S_XCR0,
  S_XFD,
  S_XFD_ERR,
} from '../../state/state-layout.ts'
import { CR0_EM, CR0_TS, CR4_OSXSAVE, RAX, XCR0_AVX, XCR0_SSE, XCR0_X87 } from '../../state/architecture.ts'
import * as fpuImage from './fpu-image.ts'
import { FpuImage, initialiseX87 } from './fpu-image.ts'
import { gated, type Handler } from '../operands.ts'
import { setPkru } from '../protection-keys.ts'
import { SSE, compactedOffset, type StateComponent } from '../../state/state-components.ts'
import type { System } from '../system.ts'

/** XCOMP_BV bit 63: the compacted form. In {@link SavePlan.compacted}, whose bits are below 31, bit 30 stands for it. */
const COMPACTED_HI = 0x8000_0000
const COMPACTED_MARK = 1 << 30

const image = new FpuImage()

function xmmEnd(s: System): number {
  return s.mode64 ? fpuImage.A_XMM_END : fpuImage.A_XMM_END_LEGACY
}

/** Whether x87 state is other than FNINIT leaves it. */
function isX87InUse(s: System): boolean {
  if (s.get(S_FCW) !== fpuImage.FCW_INITIAL || s.get(S_FSW) !== 0 || s.get(S_FTOP) !== 0) return true
  if (s.get(S_FTAG_EMPTY) !== 0xff || s.get(S_FOP) !== 0) return true
  if ((s.get(S_FIP) | s.get(S_FIP + 4) | s.get(S_FDP) | s.get(S_FDP + 4)) !== 0) return true
  for (let at = S_FPR; at < S_FPR + 128; at += 16) {
    if ((s.get(at) | s.get(at + 4) | s.u16[(at + 8) >>> 1]!) !== 0) return true
  }
  return false
}

/**
 * XINUSE: the components that are not in their initial configuration. The processor compares; it keeps no record of
 * what has been modified. MXCSR is no part of it.
 *
 * Source: SDM vol. 1, "Processor Tracking of XSAVE-Managed State".
 */
export function inUse(s: System): number {
  let used = (isX87InUse(s) ? XCR0_X87 : 0) | (SSE.isInUse(s) ? XCR0_SSE : 0)
  for (const component of s.cpu.processor.components) if (component.isInUse(s)) used |= component.bit
  return used
}

function requireFx(s: System): void {
  if ((s.get(S_CR0) & (CR0_EM | CR0_TS)) !== 0) s.raisePlain(VECTOR_NM)
}

function requireAlignment(s: System, bytes: 16 | 64): void {
  if ((s.get(S_EA) & (bytes - 1)) !== 0) s.raise(VECTOR_GP, 0)
}

function transfer(s: System, lo: number, hi: number, from: number, to: number, checking: boolean): void {
  if (checking) image.probe(s, lo, hi, from, to)
  else image.store(s, lo, hi, from, to)
}

// @isa: complete   0F AE /0   FXSAVE, FXSAVE64   "SDM vol. 2A, FXSAVE"
const fxsave: Handler = (s, _record, form) => {
  requireAlignment(s, 16)
  const lo = s.get(S_EA)
  const hi = s.get(S_EA + 4)
  image.takeX87(s, form.size === 8)
  image.takeMxcsr(s)
  SSE.take(s, image.bytes, fpuImage.A_XMM)
  image.probe(s, lo, hi, 0, xmmEnd(s))
  image.store(s, lo, hi, 0, xmmEnd(s))
  return STATUS_DONE
}

// @isa: complete   0F AE /1   FXRSTOR, FXRSTOR64   "SDM vol. 2A, FXRSTOR"
const fxrstor: Handler = (s, _record, form) => {
  requireAlignment(s, 16)
  image.load(s, s.get(S_EA), s.get(S_EA + 4), 0, xmmEnd(s))
  const mxcsr = image.word(fpuImage.A_MXCSR)
  if ((mxcsr & ~fpuImage.MXCSR_MASK) !== 0) s.raise(VECTOR_GP, 0)
  image.giveX87(s, form.size === 8)
  SSE.give(s, image.bytes, fpuImage.A_XMM)
  s.set(S_MXCSR, mxcsr)
  s.cpu.modeChanged()
  return STATUS_DONE
}

function requireXsave(s: System): void {
  if ((s.get(S_CR4) & CR4_OSXSAVE) === 0) s.undefinedOpcode()
  if ((s.get(S_CR0) & CR0_TS) !== 0) s.raisePlain(VECTOR_NM)
}

/** XSAVES and XRSTORS: for the kernel. */
function requireXsaves(s: System): void {
  requireXsave(s)
  s.requireCpl0()
}

/**
 * The components asked for: XCR0 and EDX:EAX. None has a number above 31. IA32_XSS, which XSAVES and XRSTORS take as well,
 * has no bits here.
 */
function requested(s: System): number {
  return s.get(S_XCR0) & s.gpr(RAX)
}

/** The components that are in use. A component that IA32_XFD disables is saved as if it were not. */
function saved(s: System): number {
  return inUse(s) & ~s.get(S_XFD)
}

/** Offset of a component in the area. `compacted`: XCOMP_BV of an area in the compacted form, 0 for the standard form. */
function offsetOf(s: System, component: StateComponent, compacted: number): number {
  return compacted === 0 ? component.standard : compactedOffset(s.cpu.processor.components, component, compacted)
}

/** Transfers what the instruction writes: first to see that it can, then in truth. */
interface SavePlan {
  /** Components whose state is written. */
  written: number
  /** MXCSR and its mask are written. */
  mxcsr: boolean
  /** Bytes of the header that are written, from its first on. */
  headerBytes: number
  /** XCOMP_BV without bit 63; 0 for the standard form. */
  compacted: number
}

const plan: SavePlan = { written: 0, mxcsr: false, headerBytes: 8, compacted: 0 }

/** Takes the state from the processor and writes the area as {@link plan} says. The header is in the image. */
function writeArea(s: System, wide: boolean): void {
  const lo = s.get(S_EA)
  const hi = s.get(S_EA + 4)
  const { written, mxcsr, headerBytes, compacted } = plan
  const x87 = (written & XCR0_X87) !== 0
  const sse = (written & XCR0_SSE) !== 0
  const { components } = s.cpu.processor
  if (x87) image.takeX87(s, wide)
  if (mxcsr) image.takeMxcsr(s)
  if (sse) SSE.take(s, image.bytes, fpuImage.A_XMM)
  for (const component of components) {
    if ((written & component.bit) === 0) continue
    const at = offsetOf(s, component, compacted)
    if ((s.get(S_XFD) & component.bit) === 0) component.take(s, image.bytes, at)
    else image.clear(at, at + component.size)
  }
  for (let pass = 0; pass < 2; pass++) {
    const checking = pass === 0
    if (x87) transfer(s, lo, hi, 0, fpuImage.A_MXCSR, checking)
    if (mxcsr) transfer(s, lo, hi, fpuImage.A_MXCSR, fpuImage.A_ST, checking)
    if (x87) transfer(s, lo, hi, fpuImage.A_ST, fpuImage.A_XMM, checking)
    if (sse) transfer(s, lo, hi, fpuImage.A_XMM, xmmEnd(s), checking)
    transfer(s, lo, hi, fpuImage.A_HEADER, fpuImage.A_HEADER + headerBytes, checking)
    for (const component of components) {
      if ((written & component.bit) === 0) continue
      const at = offsetOf(s, component, compacted)
      transfer(s, lo, hi, at, at + component.transferred(s), checking)
    }
  }
}

/**
 * XSAVE, and XSAVEOPT, which leaves out what is in its initial configuration.
 *
 * Source: SDM vol. 1, "Operation of XSAVE", "Operation of XSAVEOPT".
 */
function save(optimise: boolean): Handler {
  return (s, _record, form) => {
    requireAlignment(s, 64)
    const components = requested(s)
    const used = saved(s)
    // XSTATE_BV keeps the bits of components that were not asked for.
    image.load(s, s.get(S_EA), s.get(S_EA + 4), fpuImage.A_HEADER, fpuImage.A_HEADER + 8)
    image.setWord(fpuImage.A_HEADER, ((image.word(fpuImage.A_HEADER) & ~components) | (used & components)) >>> 0)
    plan.written = optimise ? components & used : components
    // MXCSR goes with SSE and AVX whether their registers are in use or not.
    plan.mxcsr = (components & (XCR0_SSE | XCR0_AVX)) !== 0
    plan.headerBytes = 8
    plan.compacted = 0
    writeArea(s, form.size === 8)
    return STATUS_DONE
  }
}

/**
 * XSAVEC and XSAVES: the compacted form, without what is in its initial configuration. XSAVES may leave out what has not
 * been modified since XRSTORS as well; this processor does not know, and writes it.
 *
 * Source: SDM vol. 1, "Operation of XSAVEC", "Operation of XSAVES"; vol. 2C, XSAVEC: SSE is saved for MXCSR's sake too.
 */
const saveCompacted: Handler = (s, _record, form) => {
  requireAlignment(s, 64)
  const components = requested(s)
  let written = components & saved(s)
  if ((components & XCR0_SSE) !== 0 && s.get(S_MXCSR) !== fpuImage.MXCSR_INITIAL) written |= XCR0_SSE
  image.setWord(fpuImage.A_HEADER, written)
  image.setWord(fpuImage.A_HEADER + 4, 0)
  image.setWord(fpuImage.A_XCOMP_BV, components)
  image.setWord(fpuImage.A_XCOMP_BV + 4, COMPACTED_HI)
  plan.written = written
  plan.mxcsr = (written & XCR0_SSE) !== 0
  plan.headerBytes = 16
  plan.compacted = components | COMPACTED_MARK
  writeArea(s, form.size === 8)
  return STATUS_DONE
}

/**
 * Checks the header of an area that is restored.
 *
 * Source: SDM vol. 1, "Operation of XRSTOR", "Operation of XRSTORS".
 *
 * @param supervisor - XRSTORS, which takes the compacted form alone
 * @returns XCOMP_BV as {@link SavePlan.compacted} has it
 */
function checkHeader(s: System, supervisor: boolean): number {
  const bits = image.word(fpuImage.A_HEADER)
  const bitsHi = image.word(fpuImage.A_HEADER + 4)
  const layout = image.word(fpuImage.A_XCOMP_BV)
  const layoutHi = image.word(fpuImage.A_XCOMP_BV + 4)
  const xcr0 = s.get(S_XCR0)
  const compacted = (layoutHi & COMPACTED_HI) !== 0
  let wrong: number
  if (compacted) {
    wrong = (layout & ~xcr0) | (layoutHi & ~COMPACTED_HI) | (bits & ~layout) | bitsHi
    for (let at = fpuImage.A_XCOMP_BV + 8; at < fpuImage.A_HEADER + 64; at += 4) wrong |= image.word(at)
    if (!supervisor && !s.cpu.processor.restoresCompacted) wrong = 1
  } else {
    wrong = (bits & ~xcr0) | bitsHi | layout | layoutHi
    for (let at = fpuImage.A_XCOMP_BV + 8; at < fpuImage.A_XCOMP_BV + 16; at += 4) wrong |= image.word(at)
    if (supervisor) wrong = 1
  }
  if (wrong !== 0) s.raise(VECTOR_GP, 0)
  return compacted ? layout | COMPACTED_MARK : 0
}

/** Raises #NM for a use of components that IA32_XFD disables (SDM vol. 1, "Extended Feature Disable (XFD)"). */
export function requireFeatures(s: System, components: number): void {
  const disabled = s.get(S_XFD) & components
  if (disabled === 0) return
  s.set(S_XFD_ERR, disabled)
  s.raisePlain(VECTOR_NM)
}

// @isa: complete   0F AE /5, 0F C7 /3   XRSTOR, XRSTORS and their 64-bit forms   "SDM vol. 2C, XRSTOR, XRSTORS"
function restore(supervisor: boolean): Handler {
  return (s, _record, form) => {
    requireAlignment(s, 64)
    const lo = s.get(S_EA)
    const hi = s.get(S_EA + 4)
    const components = requested(s)
    image.load(s, lo, hi, fpuImage.A_HEADER, fpuImage.A_HEADER + 64)
    const compacted = checkHeader(s, supervisor)
    const from = components & image.word(fpuImage.A_HEADER)
    requireFeatures(s, from)
    const x87 = (from & XCR0_X87) !== 0
    const sse = (from & XCR0_SSE) !== 0
    // In the standard form MXCSR is loaded whenever SSE or AVX is asked for; in the compacted form it is SSE's alone.
    const mxcsr = compacted === 0 ? (components & (XCR0_SSE | XCR0_AVX)) !== 0 : sse
    if (x87) image.load(s, lo, hi, 0, fpuImage.A_MXCSR)
    if (mxcsr) image.load(s, lo, hi, fpuImage.A_MXCSR, fpuImage.A_ST)
    if (x87) image.load(s, lo, hi, fpuImage.A_ST, fpuImage.A_XMM)
    if (sse) image.load(s, lo, hi, fpuImage.A_XMM, xmmEnd(s))
    for (const component of s.cpu.processor.components) {
      if ((from & component.bit) === 0) continue
      const at = offsetOf(s, component, compacted)
      image.load(s, lo, hi, at, at + component.transferred(s))
    }
    const control = image.word(fpuImage.A_MXCSR)
    if (mxcsr && (control & ~fpuImage.MXCSR_MASK) !== 0) s.raise(VECTOR_GP, 0)

    if (x87) image.giveX87(s, form.size === 8)
    else if ((components & XCR0_X87) !== 0) {
      initialiseX87(s)
      s.u8.fill(0, S_FPR, S_FPR + 128)
    }
    if (mxcsr) s.set(S_MXCSR, control)
    else if (compacted !== 0 && (components & XCR0_SSE) !== 0) s.set(S_MXCSR, fpuImage.MXCSR_INITIAL)
    if ((components & XCR0_SSE) !== 0) {
      SSE.give(s, image.bytes, sse ? fpuImage.A_XMM : fpuImage.A_ZEROS)
    }
    for (const component of s.cpu.processor.components) {
      if ((components & component.bit) === 0) continue
      const at = (from & component.bit) === 0 ? fpuImage.A_ZEROS : offsetOf(s, component, compacted)
      if (component.give === undefined) setPkru(s, image.word(at))
      else component.give(s, image.bytes, at)
    }
    s.cpu.modeChanged()
    return STATUS_DONE
  }
}

const xsave = gated(requireXsave, save(false))
const xsaveopt = gated(requireXsave, save(true))
const xsavec = gated(requireXsave, saveCompacted)
const xsaves = gated(requireXsaves, saveCompacted)
const xrstor = gated(requireXsave, restore(false))
const xrstors = gated(requireXsaves, restore(true))

export const fpuStateHandlers: Readonly<Record<string, Handler>> = {
  FXSAVE: gated(requireFx, fxsave),
  FXSAVE64: gated(requireFx, fxsave),
  FXRSTOR: gated(requireFx, fxrstor),
  FXRSTOR64: gated(requireFx, fxrstor),
  XSAVE: xsave,
  XSAVE64: xsave,
  XSAVEOPT: xsaveopt,
  XSAVEOPT64: xsaveopt,
  XSAVEC: xsavec,
  XSAVEC64: xsavec,
  XSAVES: xsaves,
  XSAVES64: xsaves,
  XRSTOR: xrstor,
  XRSTOR64: xrstor,
  XRSTORS: xrstors,
  XRSTORS64: xrstors,
}
