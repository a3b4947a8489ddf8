import { SLOW_PROBE, SLOW_WRITE } from '../../state/host.ts'
import * as S from '../../state/state-layout.ts'
import type { System } from '../system.ts'
import { A_EXTENDED } from '../../state/state-components.ts'

/** MXCSR bits that exist: all 16, DAZ included. */
export const MXCSR_MASK = 0xffff
/** FCW after FNINIT. */
export const FCW_INITIAL = 0x37f
export const MXCSR_INITIAL = 0x1f80

// Offsets in the FXSAVE and XSAVE areas (SDM vol. 1, "FXSAVE and FXRSTOR Instructions", "XSAVE-Managed State").
export const A_FCW = 0
export const A_FSW = 2
export const A_FTW = 4
export const A_FOP = 6
export const A_FIP = 8
export const A_FCS = 12
export const A_FDP = 16
export const A_FDS = 20
export const A_MXCSR = 24
export const A_ST = 32
export const A_XMM = 160
/** Where the XMM registers end; 16 of them in 64-bit mode, else 8. */
export const A_XMM_END = 416
export const A_XMM_END_LEGACY = 288
export const A_HEADER = 512
/** In the header: which components an area in the compacted form has room for, and bit 63. */
export const A_XCOMP_BV = 520
/** Upper halves of the YMM registers, in the standard format; CPUID leaf DH, sub-leaf 2. */
export const A_YMM: number = A_EXTENDED
/** Where the longest area ends, and zeros begin: the initial configuration of a component that the area lacks. */
export const A_ZEROS = 0x3000
/** TILEDATA's zeros. */
const A_END = 0x5000

/** Exception summary of FSW. */
export const FSW_ES: number = 1 << 7
/** Exception flags of FSW, and ES and B, which sum up those that FCW does not mask. */
export const FSW_EXCEPTIONS = 0x3f
export const FSW_SUMMARY = 0x8080
/** The status word without TOP, as S_FSW has it. */
export const FSW_WITHOUT_TOP = 0xc7ff

/** Sets ES and B where an exception is pending that is not masked. */
export function summariseExceptions(s: System): void {
  const status = s.get(S.S_FSW) & ~FSW_SUMMARY
  const pending = (status & ~s.get(S.S_FCW) & FSW_EXCEPTIONS) !== 0
  s.set(S.S_FSW, pending ? status | FSW_SUMMARY : status)
}

/** The status word with TOP in its place. */
export function statusWord(s: System): number {
  return (s.get(S.S_FSW) & FSW_WITHOUT_TOP) | (s.get(S.S_FTOP) << 11)
}

export function setStatusWord(s: System, value: number): void {
  s.set(S.S_FSW, value & FSW_WITHOUT_TOP)
  s.set(S.S_FTOP, (value >>> 11) & 7)
}

/** State offset of ST(i). */
export function stackRegister(s: System, i: number): number {
  return S.S_FPR + 16 * ((s.get(S.S_FTOP) + i) & 7)
}

export function initialiseX87(s: System): void {
  s.set(S.S_FCW, FCW_INITIAL)
  s.set(S.S_FSW, 0)
  s.set(S.S_FTOP, 0)
  s.set(S.S_FTAG_EMPTY, 0xff)
  s.set(S.S_FOP, 0)
  s.set64(S.S_FIP, 0, 0)
  s.set64(S.S_FDP, 0, 0)
  s.set(S.S_FCS, 0)
  s.set(S.S_FDS, 0)
}

/**
 * The area of FXSAVE and XSAVE, assembled before it is written and after it has been read. The components
 * occupy byte ranges; which of them are transferred is the instruction's business.
 */
export class FpuImage {
  readonly bytes: Uint8Array = new Uint8Array(A_END)
  readonly #view: DataView = new DataView(this.bytes.buffer)
  readonly #words = new Uint32Array(this.bytes.buffer)

  word(offset: number): number {
    return this.#view.getUint32(offset, true)
  }

  setWord(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true)
  }

  /** Bytes 0–23 and 32–159. `wide`: REX.W, 64-bit instruction and data pointers. */
  takeX87(s: System, wide: boolean): void {
    const view = this.#view
    view.setUint16(A_FCW, s.get(S.S_FCW), true)
    view.setUint16(A_FSW, statusWord(s), true)
    // The abridged tag word: 1 = not empty, by physical register.
    view.setUint16(A_FTW, ~s.get(S.S_FTAG_EMPTY) & 0xff, true)
    // AMD's processors save the error pointers while an exception is pending, and zeros otherwise (seen on Zen 4).
    if (s.cpu.processor.savesErrorPointers || (s.get(S.S_FSW) & FSW_ES) !== 0) this.#takeErrorPointers(s, wide)
    else this.bytes.fill(0, A_FOP, A_MXCSR)
    for (let i = 0; i < 8; i++) {
      const from = stackRegister(s, i)
      const to = A_ST + 16 * i
      for (let j = 0; j < 16; j++) this.bytes[to + j] = j < 10 ? s.u8[from + j]! : 0
    }
  }

  #takeErrorPointers(s: System, wide: boolean): void {
    const view = this.#view
    view.setUint16(A_FOP, s.get(S.S_FOP) & 0x7ff, true)
    view.setUint32(A_FIP, s.get(S.S_FIP), true)
    view.setUint32(A_FCS, wide ? s.get(S.S_FIP + 4) : s.get(S.S_FCS) & 0xffff, true)
    view.setUint32(A_FDP, s.get(S.S_FDP), true)
    view.setUint32(A_FDS, wide ? s.get(S.S_FDP + 4) : s.get(S.S_FDS) & 0xffff, true)
  }

  giveX87(s: System, wide: boolean): void {
    const view = this.#view
    s.set(S.S_FCW, (view.getUint16(A_FCW, true) & 0x1f7f) | 0x40)
    setStatusWord(s, view.getUint16(A_FSW, true))
    s.set(S.S_FTAG_EMPTY, ~this.bytes[A_FTW]! & 0xff)
    summariseExceptions(s)
    for (let i = 0; i < 8; i++) {
      const to = stackRegister(s, i)
      const from = A_ST + 16 * i
      for (let j = 0; j < 10; j++) s.u8[to + j] = this.bytes[from + j]!
    }
    // AMD's processors restore them with a pending exception alone, or always if CPUID 8000_0008H, EBX bit 2 is set.
    if (!s.cpu.processor.restoresErrorPointers && (view.getUint16(A_FSW, true) & FSW_ES) === 0) return
    s.set(S.S_FOP, view.getUint16(A_FOP, true) & 0x7ff)
    const high = view.getUint32(A_FCS, true)
    s.set64(S.S_FIP, view.getUint32(A_FIP, true), wide ? high : 0)
    s.set(S.S_FCS, wide ? 0 : high & 0xffff)
    const dataHigh = view.getUint32(A_FDS, true)
    s.set64(S.S_FDP, view.getUint32(A_FDP, true), wide ? dataHigh : 0)
    s.set(S.S_FDS, wide ? 0 : dataHigh & 0xffff)
  }

  /** Bytes 24–31. */
  takeMxcsr(s: System): void {
    this.setWord(A_MXCSR, s.get(S.S_MXCSR))
    this.setWord(A_MXCSR + 4, MXCSR_MASK)
  }

  clear(from: number, to: number): void {
    this.bytes.fill(0, from, to)
  }

  /** Checks that bytes `from` to `to` of the area can be written. */
  probe(s: System, lo: number, hi: number, from: number, to: number): void {
    for (let at = from; at < to;) {
      const size = chunk(at, to)
      s.check(s.cpu.access((lo + at) >>> 0, s.carryHi(lo, hi, at), size | SLOW_WRITE | SLOW_PROBE))
      at += size
    }
  }

  /** Writes them; they have been probed. */
  store(s: System, lo: number, hi: number, from: number, to: number): void {
    for (let at = from; at < to;) {
      const size = chunk(at, to)
      for (let i = 0; i < size; i += 4) s.u32[(S.S_DATA + i) >>> 2] = this.#words[(at + i) >>> 2]!
      s.check(s.cpu.access((lo + at) >>> 0, s.carryHi(lo, hi, at), size | SLOW_WRITE))
      at += size
    }
  }

  load(s: System, lo: number, hi: number, from: number, to: number): void {
    for (let at = from; at < to;) {
      const size = chunk(at, to)
      s.check(s.cpu.access((lo + at) >>> 0, s.carryHi(lo, hi, at), size))
      for (let i = 0; i < size; i += 4) this.#words[(at + i) >>> 2] = s.u32[(S.S_DATA + i) >>> 2]!
      at += size
    }
  }
}

/** Size of the next access: a power of two from 4 to 64 that is aligned to itself within the area, as all its parts are. */
function chunk(at: number, to: number): number {
  let size = 64
  while (at % size !== 0 || at + size > to) size >>= 1
  return size
}
