import type { I64 } from '@retrap/wasm-emitter'

/** Instructions of WebAssembly that access elements of 1 to 8 bytes. */

/** Loads of elements without a sign. */
export const LOADS = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' } as const
/** Loads of elements with a sign. */
export const SIGNED_LOADS = { 1: 'i64.load8_s', 2: 'i64.load16_s', 4: 'i64.load32_s', 8: 'i64.load' } as const
/** Stores of elements. */
export const STORES = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' } as const

/** Loads that other processors see as one access, in order. */
export const ATOMIC_LOADS = {
  1: 'i64.atomic.load8_u',
  2: 'i64.atomic.load16_u',
  4: 'i64.atomic.load32_u',
  8: 'i64.atomic.load',
} as const

/** Stores that other processors see as one access, in order. */
export const ATOMIC_STORES = {
  1: 'i64.atomic.store8',
  2: 'i64.atomic.store16',
  4: 'i64.atomic.store32',
  8: 'i64.atomic.store',
} as const

/** Bytes of an element that a general-purpose register holds. */
export type ElementSize = keyof typeof LOADS

/** The size of an element of 8, 16, 32 or 64 bits. */
export const sizeOfBits = (bits: number): ElementSize => (bits / 8) as ElementSize

/** The bits of an element. */
export const maskOf = (size: ElementSize): bigint => (1n << BigInt(8 * size)) - 1n

/** An element with its sign in bit 63. */
export const signedElement = (value: I64, size: ElementSize): I64 =>
  size === 1 ? value.extend8S() : size === 2 ? value.extend16S() : size === 4 ? value.extend32S() : value
