import { AssemblerError } from './checks.ts'
import type { AddressMap, LabelExpression } from './labels.ts'

/**
 * How a value that the layout decides goes into its field.
 *
 * - `absolute`: the value itself; it may use the whole field as a signed or as an unsigned number
 * - `signed`: the value is sign-extended by the CPU when it reads the field (imm32, disp32 in 64-bit mode)
 * - `relative`: the distance from the end of the instruction
 */
type FixupKind = 'absolute' | 'signed' | 'relative'

/** A field of an encoding that depends on addresses. */
export interface Fixup {
  readonly kind: FixupKind
  /** Offset of the field from the start of the encoding. */
  readonly offset: number
  /** Width of the field in bytes. */
  readonly size: 1 | 2 | 4 | 8
  readonly value: LabelExpression | bigint
  /** Origin of a `relative` distance, from the start of the encoding. */
  readonly origin: number
  /** The field holds the value divided by this: displacements of EVEX. */
  readonly scale: number
  /** For `relative` and `signed`: addresses wrap at this many bits (IP is 16 bits wide in 16-bit code). */
  readonly addressBits: 16 | 32 | 64
}

/** The bytes of one instruction or data item and the fixups of its fields. */
export interface Encoding {
  readonly bytes: readonly number[] | Uint8Array
  readonly fixups: readonly Fixup[]
}

/** Whether `value` is determined by its low `bits` bits, read as signed or as unsigned. */
export function fitsEither(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value || BigInt.asUintN(bits, value) === value
}

/**
 * True where the low `from` bits, sign-extended to `to` bits, give `value` modulo 2^`to`.
 *
 * 0xfff0 fits from 8 to 16 bits and 0xffff_ffff_8000_0000 from 32 to 64, as an assembler's user expects.
 */
export function fitsSignExtended(value: bigint, from: number, to: number): boolean {
  return fitsEither(value, to) && BigInt.asIntN(from, value) === BigInt.asIntN(to, value)
}

/** True where `value` is a multiple of `scale` that {@link fitsSignExtended} once divided by it. */
export function fitsScaled(value: bigint, from: number, to: number, scale: number): boolean {
  if (scale === 1) return fitsSignExtended(value, from, to)
  const signed = BigInt.asIntN(to, value)
  const unit = BigInt(scale)
  return (
    fitsEither(value, to) &&
    signed % unit === 0n &&
    fitsEither(signed / unit, from) &&
    signed / unit < 1n << BigInt(from - 1)
  )
}

/** Appends the low `size` bytes of a value, least significant first. */
export function pushValue(bytes: number[], value: bigint, size: number): void {
  if (size <= 4) {
    const low = Number(BigInt.asUintN(32, value))
    for (let index = 0; index < size; index++) bytes.push((low >>> (index * 8)) & 0xff)
    return
  }
  pushValue(bytes, BigInt.asUintN(32, value), 4)
  pushValue(bytes, value >> 32n, size - 4)
}

/**
 * The value that a field must hold; it may not fit. Distances are counted modulo the width of the instruction pointer.
 *
 * @param address - the address of the encoding's first byte
 */
export function fixupValue(fixup: Fixup, address: bigint, addresses: AddressMap): bigint {
  const value = typeof fixup.value === 'bigint' ? fixup.value : fixup.value.evaluate(addresses)
  if (fixup.kind !== 'relative') return value
  return BigInt.asIntN(fixup.addressBits, value - (address + BigInt(fixup.origin)))
}

/** True where a field can hold a value of {@link fixupValue}. */
export function fixupFits(fixup: Fixup, value: bigint): boolean {
  const bits = fixup.size * 8
  if (fixup.kind === 'absolute') return fitsEither(value, bits)
  if (bits >= fixup.addressBits) return fitsEither(value, fixup.addressBits)
  return fitsScaled(value, bits, fixup.addressBits, fixup.scale)
}

/**
 * Fills in one field.
 *
 * @param bytes - the section's bytes, changed in place
 * @param start - start of the encoding within the bytes
 * @param base - the section's address
 * @throws AssemblerError `ERR_RANGE` if the value does not fit
 */
export function applyFixup(fixup: Fixup, bytes: Uint8Array, start: number, base: bigint, addresses: AddressMap): void {
  const bits = fixup.size * 8
  const address = base + BigInt(start)
  const value = fixupValue(fixup, address, addresses)
  if (!fixupFits(fixup, value)) {
    const what = fixup.kind === 'relative' ? 'the distance to ' : ''
    throw new AssemblerError(
      'ERR_RANGE',
      `${what}${fixup.value.toString()} is ${value}, which does not fit in ${bits} bits at 0x${address.toString(16)}`,
    )
  }
  const stored = fixup.scale === 1 ? value : BigInt.asIntN(fixup.addressBits, value) / BigInt(fixup.scale)
  const at = start + fixup.offset
  let low = Number(BigInt.asUintN(32, stored))
  for (let index = 0; index < fixup.size; index++) {
    if (index === 4) low = Number(BigInt.asUintN(32, stored >> 32n))
    bytes[at + index] = low & 0xff
    low >>>= 8
  }
}
