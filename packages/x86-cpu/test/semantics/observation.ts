import type { Encoding } from './encode.ts'
import { IN_GPR, OUT_CS, OUT_FX, OUT_GPR, OUT_RIP, OUT_VECTOR } from './layout.ts'

/** What a difference is judged by. */
export interface Observation {
  readonly encoding: Encoding
  readonly input: Uint8Array
  readonly expected: Uint8Array
  readonly actual: Uint8Array
  /** Register, `flags`, `memory ADDRESS`… */
  readonly what: string
}

/** One way in which processors differ. */
export interface KnownDifference {
  readonly name: string
  /** What the manuals say. */
  readonly reason: string
  matches(o: Observation): boolean
}

export const IN_RSP: number = IN_GPR + 32
export const OUT_RSP: number = OUT_GPR + 32
export const BP = 3
export const UD = 6
export const SS = 12
export const GP = 13
export const PF = 14
export const XM = 19
/** C1 of the x87 status word. */
export const C1 = 0x200

/** A 64-bit field of a case or a result. */
export function quadOf(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)
}

/** A 32-bit field of a case or a result: flags, and others. */
export function flagsOf(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
}

/** The exception that a case ended with; {@link BP} if none. */
export function vectorOf(result: Uint8Array): number {
  return result[OUT_VECTOR] as number
}

/** TOP of the x87 status word. */
export function topOf(result: Uint8Array): number {
  return (result[OUT_FX + 3]! >>> 3) & 7
}

/** The x87 status word of an FXSAVE image. */
export function statusWord(bytes: Uint8Array, fx: number): number {
  return (bytes[fx + 2] as number) | ((bytes[fx + 3] as number) << 8)
}

/** Whether both sides ended in one place, with one exception. */
export function sameEnd(o: Observation): boolean {
  for (let i = OUT_RIP; i < OUT_RIP + 8; i++) if (o.expected[i] !== o.actual[i]) return false
  return vectorOf(o.expected) === vectorOf(o.actual) && o.expected[OUT_CS] === o.actual[OUT_CS]
}
