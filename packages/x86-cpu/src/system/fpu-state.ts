import { VECTOR_GP, VECTOR_NM } from '../vectors.ts'
import {
  STATUS_DONE,
  S_CR0,
  S_CR4,
  S_EA,
  S_FCW,
  S_FIP,
  S_FDP,
  S_FOP,
  S_FPR,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_MXCSR,
  S_XCR0,
  S_XMM,
} from '../state-layout.ts'
import { CR0_EM, CR0_TS, CR4_OSXSAVE, RAX, XCR0_AVX, XCR0_SSE, XCR0_X87 } from './architecture.ts'
import {
  A_FOP,
  A_HEADER,
  A_MXCSR,
  A_ST,
  A_XMM,
  A_XMM_END,
  A_XMM_END_LEGACY,
  A_YMM,
  A_YMM_END,
  A_YMM_END_LEGACY,
  FCW_INITIAL,
  FSW_ES,
  FpuImage,
  MXCSR_MASK,
  initialiseX87,
} from './fpu-image.ts'
import { gated } from './operands.ts'
import type { Handler } from './operands.ts'
import type { System } from './system.ts'

const image = new FpuImage()

/** How many vector registers there are in this mode, and where the areas of their halves end. */
function vectorCount(s: System): number {
  return s.mode64 ? 16 : 8
}

function xmmEnd(s: System): number {
  return s.mode64 ? A_XMM_END : A_XMM_END_LEGACY
}

function ymmEnd(s: System): number {
  return s.mode64 ? A_YMM_END : A_YMM_END_LEGACY
}

function requireFx(s: System): void {
  if ((s.get(S_CR0) & (CR0_EM | CR0_TS)) !== 0) s.raisePlain(VECTOR_NM)
}

function requireAlignment(s: System, bytes: 16 | 64): void {
  if ((s.get(S_EA) & (bytes - 1)) !== 0) s.raise(VECTOR_GP, 0)
}

/**
 * Whether FXSAVE and XSAVE save the x87 unit's opcode and instruction and data pointers. AMD's processors do so while an
 * exception is pending, or always if CPUID 8000_0008H, EBX bit 2 is set (APM vol. 2, "FXSAVE and FXRSTOR Instructions").
 */
function savesErrorPointers(s: System): boolean {
  return s.cpu.processor.savesErrorPointers || (s.get(S_FSW) & FSW_ES) !== 0
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
  image.takeVectors(s, A_XMM, 0, vectorCount(s))
  const pointers = savesErrorPointers(s)
  for (let pass = 0; pass < 2; pass++) {
    const checking = pass === 0
    if (!pointers) transfer(s, lo, hi, 0, A_FOP, checking)
    transfer(s, lo, hi, pointers ? 0 : A_MXCSR, xmmEnd(s), checking)
  }
  return STATUS_DONE
}

// @isa: complete   0F AE /1   FXRSTOR, FXRSTOR64   "SDM vol. 2A, FXRSTOR"
const fxrstor: Handler = (s, _record, form) => {
  requireAlignment(s, 16)
  image.load(s, s.get(S_EA), s.get(S_EA + 4), 0, xmmEnd(s))
  const mxcsr = image.word(A_MXCSR)
  if ((mxcsr & ~MXCSR_MASK) !== 0) s.raise(VECTOR_GP, 0)
  image.giveX87(s, form.size === 8)
  image.giveVectors(s, A_XMM, 0, vectorCount(s))
  s.set(S_MXCSR, mxcsr)
  s.cpu.modeChanged()
  return STATUS_DONE
}

function requireXsave(s: System): void {
  if ((s.get(S_CR4) & CR4_OSXSAVE) === 0) s.undefinedOpcode()
  if ((s.get(S_CR0) & CR0_TS) !== 0) s.raisePlain(VECTOR_NM)
}

/** The components asked for: XCR0 and EDX:EAX. None has a number above 31. */
function requested(s: System): number {
  return s.get(S_XCR0) & s.gpr(RAX)
}

/** Whether x87 state is other than FNINIT leaves it. */
function isX87InUse(s: System): boolean {
  if (s.get(S_FCW) !== FCW_INITIAL || s.get(S_FSW) !== 0 || s.get(S_FTOP) !== 0) return true
  if (s.get(S_FTAG_EMPTY) !== 0xff || s.get(S_FOP) !== 0) return true
  if ((s.get(S_FIP) | s.get(S_FIP + 4) | s.get(S_FDP) | s.get(S_FDP + 4)) !== 0) return true
  for (let at = S_FPR; at < S_FPR + 128; at += 16) {
    if ((s.get(at) | s.get(at + 4) | (s.u16[(at + 8) >>> 1] as number)) !== 0) return true
  }
  return false
}

/** Whether the half (byte 0 or 16) of a vector register that this mode has is other than zero. */
function isHalfInUse(s: System, half: number): boolean {
  for (let i = 0; i < vectorCount(s); i++) {
    const at = S_XMM + 64 * i + half
    if ((s.get(at) | s.get(at + 4) | s.get(at + 8) | s.get(at + 12)) !== 0) return true
  }
  return false
}

function inUse(s: System): number {
  return (isX87InUse(s) ? XCR0_X87 : 0) | (isHalfInUse(s, 0) ? XCR0_SSE : 0) | (isHalfInUse(s, 16) ? XCR0_AVX : 0)
}

/**
 * XSAVE, and XSAVEOPT, which leaves out what is in its initial configuration.
 *
 * Source: SDM vol. 1, "Operation of XSAVE", "Operation of XSAVEOPT".
 */
function save(optimise: boolean): Handler {
  return (s, _record, form) => {
    requireAlignment(s, 64)
    const lo = s.get(S_EA)
    const hi = s.get(S_EA + 4)
    const components = requested(s)
    const used = inUse(s)
    const written = optimise ? components & used : components
    // XSTATE_BV keeps the bits of components that were not asked for.
    image.load(s, lo, hi, A_HEADER, A_HEADER + 8)
    image.setWord(A_HEADER, ((image.word(A_HEADER) & ~components) | (used & components)) >>> 0)
    const end = xmmEnd(s)
    const x87 = (written & XCR0_X87) !== 0
    const sse = (written & XCR0_SSE) !== 0
    const avx = (written & XCR0_AVX) !== 0
    // MXCSR goes with SSE and AVX whether their registers are in use or not.
    const mxcsr = (components & (XCR0_SSE | XCR0_AVX)) !== 0
    if (x87) image.takeX87(s, form.size === 8)
    if (mxcsr) image.takeMxcsr(s)
    if (sse) image.takeVectors(s, A_XMM, 0, vectorCount(s))
    if (avx) image.takeVectors(s, A_YMM, 16, vectorCount(s))
    const pointers = savesErrorPointers(s)
    for (let pass = 0; pass < 2; pass++) {
      const checking = pass === 0
      if (x87) transfer(s, lo, hi, 0, pointers ? A_MXCSR : A_FOP, checking)
      if (mxcsr) transfer(s, lo, hi, A_MXCSR, A_ST, checking)
      if (x87) transfer(s, lo, hi, A_ST, A_XMM, checking)
      if (sse) transfer(s, lo, hi, A_XMM, end, checking)
      transfer(s, lo, hi, A_HEADER, A_HEADER + 8, checking)
      if (avx) transfer(s, lo, hi, A_YMM, ymmEnd(s), checking)
    }
    return STATUS_DONE
  }
}

// @isa: complete   0F AE /5   XRSTOR, XRSTOR64: standard form   "SDM vol. 1, Operation of XRSTOR"
const xrstor: Handler = (s, _record, form) => {
  requireAlignment(s, 64)
  const lo = s.get(S_EA)
  const hi = s.get(S_EA + 4)
  const components = requested(s)
  image.load(s, lo, hi, A_HEADER, A_HEADER + 64)
  const present = image.word(A_HEADER)
  // Bits that XCR0 has not, or anything else in the first 24 bytes of the header: the compacted form is not offered.
  let wrong = (present & ~s.get(S_XCR0)) | image.word(A_HEADER + 4)
  for (let at = 8; at < 24; at += 4) wrong |= image.word(A_HEADER + at)
  if (wrong !== 0) s.raise(VECTOR_GP, 0)
  const from = components & present
  const x87 = (from & XCR0_X87) !== 0
  const sse = (from & XCR0_SSE) !== 0
  const avx = (from & XCR0_AVX) !== 0
  // MXCSR is loaded whenever SSE or AVX is asked for, even if XSTATE_BV says that it is in its initial state.
  const mxcsr = (components & (XCR0_SSE | XCR0_AVX)) !== 0
  if (x87) image.load(s, lo, hi, 0, A_MXCSR)
  if (mxcsr) image.load(s, lo, hi, A_MXCSR, A_ST)
  if (x87) image.load(s, lo, hi, A_ST, A_XMM)
  if (sse) image.load(s, lo, hi, A_XMM, xmmEnd(s))
  if (avx) image.load(s, lo, hi, A_YMM, ymmEnd(s))
  const control = image.word(A_MXCSR)
  if (mxcsr && (control & ~MXCSR_MASK) !== 0) s.raise(VECTOR_GP, 0)

  if (x87) image.giveX87(s, form.size === 8)
  else if ((components & XCR0_X87) !== 0) {
    initialiseX87(s)
    s.u8.fill(0, S_FPR, S_FPR + 128)
  }
  if (mxcsr) s.set(S_MXCSR, control)
  if ((components & XCR0_SSE) !== 0) {
    if (!sse) image.clear(A_XMM, A_XMM_END)
    image.giveVectors(s, A_XMM, 0, vectorCount(s))
  }
  if ((components & XCR0_AVX) !== 0) {
    if (!avx) image.clear(A_YMM, A_YMM_END)
    image.giveVectors(s, A_YMM, 16, vectorCount(s))
  }
  s.cpu.modeChanged()
  return STATUS_DONE
}

export const fpuStateHandlers: Readonly<Record<string, Handler>> = {
  FXSAVE: gated(requireFx, fxsave),
  FXSAVE64: gated(requireFx, fxsave),
  FXRSTOR: gated(requireFx, fxrstor),
  FXRSTOR64: gated(requireFx, fxrstor),
  XSAVE: gated(requireXsave, save(false)),
  XSAVE64: gated(requireXsave, save(false)),
  XSAVEOPT: gated(requireXsave, save(true)),
  XSAVEOPT64: gated(requireXsave, save(true)),
  XRSTOR: gated(requireXsave, xrstor),
  XRSTOR64: gated(requireXsave, xrstor),
}
