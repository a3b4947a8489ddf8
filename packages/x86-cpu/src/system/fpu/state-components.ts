import * as S from '../../state/state-layout.ts'
import { XCR0_AVX, XCR0_PKRU, XCR0_SSE, XCR0_X87 } from '../../state/architecture.ts'
import { A_YMM, FCW_INITIAL } from './fpu-image.ts'
import type { System } from '../system.ts'

/** A state component beyond the legacy region: where it lies in an XSAVE area. */
export interface StateComponent {
  /** Bit in XCR0. */
  readonly bit: number
  /** Number of the bit, which is its sub-leaf of CPUID leaf DH. */
  readonly number: number
  /** Bytes. */
  readonly size: number
  /** Offset in the standard form. */
  readonly standard: number
}

/** Upper halves of the YMM registers. */
export const AVX: StateComponent = { bit: XCR0_AVX, number: 2, size: 256, standard: A_YMM }
/** PKRU, in 8 bytes. */
export const PKRU: StateComponent = { bit: XCR0_PKRU, number: 9, size: 8, standard: A_YMM + 256 }

/** In the order of their bits. None needs an alignment in the compacted form. */
export const COMPONENTS: readonly StateComponent[] = [AVX, PKRU]

/** Where the legacy region and the header end. */
const EXTENDED = A_YMM

/** Bytes of an XSAVE area in the standard form that has the components of `bits`. */
export function standardSize(bits: number): number {
  return COMPONENTS.reduce((end, { bit, size, standard }) => ((bits & bit) === 0 ? end : standard + size), EXTENDED)
}

/** Bytes of an XSAVE area in the compacted form that has the components of `bits`. */
export function compactedSize(bits: number): number {
  return COMPONENTS.reduce((end, { bit, size }) => ((bits & bit) === 0 ? end : end + size), EXTENDED)
}

/** Offset of a component in the compacted form: behind those of `bits` that come before it. */
export function compactedOffset(component: StateComponent, bits: number): number {
  return compactedSize(bits & (component.bit - 1))
}

/** How many vector registers there are in this mode. */
export function vectorCount(s: System): number {
  return s.mode64 ? 16 : 8
}

/** Whether x87 state is other than FNINIT leaves it. */
function isX87InUse(s: System): boolean {
  if (s.get(S.S_FCW) !== FCW_INITIAL || s.get(S.S_FSW) !== 0 || s.get(S.S_FTOP) !== 0) return true
  if (s.get(S.S_FTAG_EMPTY) !== 0xff || s.get(S.S_FOP) !== 0) return true
  if ((s.get(S.S_FIP) | s.get(S.S_FIP + 4) | s.get(S.S_FDP) | s.get(S.S_FDP + 4)) !== 0) return true
  for (let at = S.S_FPR; at < S.S_FPR + 128; at += 16) {
    if ((s.get(at) | s.get(at + 4) | s.u16[(at + 8) >>> 1]!) !== 0) return true
  }
  return false
}

/** Whether the half (byte 0 or 16) of a vector register that this mode has is other than zero. */
function isHalfInUse(s: System, half: number): boolean {
  for (let i = 0; i < vectorCount(s); i++) {
    const at = S.S_XMM + 64 * i + half
    if ((s.get(at) | s.get(at + 4) | s.get(at + 8) | s.get(at + 12)) !== 0) return true
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
  return (
    (isX87InUse(s) ? XCR0_X87 : 0) |
    (isHalfInUse(s, 0) ? XCR0_SSE : 0) |
    (isHalfInUse(s, 16) ? XCR0_AVX : 0) |
    (s.get(S.S_PKRU) === 0 ? 0 : XCR0_PKRU)
  )
}
