/** The prefixes VEX, XOP and EVEX. */
import type { AddressEncoding } from './address.ts'
import type { Form } from './form.ts'
import type { Fields } from './match.ts'

/** VEX.pp: the prefix that another encoding would have. */
function simdPrefix(form: Form): number {
  return form.prefix === 0x66 ? 1 : form.prefix === 0xf3 ? 2 : form.prefix === 0xf2 ? 3 : 0
}

/**
 * VEX of two or three bytes, or XOP. Its register bits are inverted.
 *
 * Source: Intel SDM vol. 2A, "Instruction Encoding Using VEX Prefix"; AMD APM vol. 6, "XOP Prefix".
 */
export function pushVex(
  bytes: number[],
  form: Form,
  fields: Fields,
  { w, x, b }: { readonly w: boolean; readonly x: number; readonly b: number },
  long: boolean,
): void {
  const r = (fields.reg >> 3) & 1
  const low = ((~fields.vvvv & 15) << 3) | (Math.max(form.vectorLength, 0) << 2) | simdPrefix(form)
  // The two-byte prefix has R alone and map 0F.
  if (form.encoding === 'vex' && form.map === 1 && !w && x === 0 && b === 0 && !long) {
    bytes.push(0xc5, ((r ^ 1) << 7) | low)
    return
  }
  bytes.push(form.encoding === 'xop' ? 0x8f : 0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | form.map)
  bytes.push((w ? 0x80 : 0) | low)
}

const ROUNDING_MODES = { rn: 0, rd: 1, ru: 2, rz: 3, sae: 0 } as const

/**
 * EVEX of four bytes. Its register bits are inverted, but for B4.
 *
 * Source: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "EVEX Prefix Bit Field Functional Grouping"; for the general registers
 * from 16 on, Intel APX Architecture Specification, "Extended EVEX Prefix".
 */
export function pushEvex(
  bytes: number[],
  form: Form,
  fields: Fields,
  address: AddressEncoding | undefined,
  { w, size16, noFlags }: { readonly w: boolean; readonly size16: boolean; readonly noFlags: boolean },
): void {
  const { reg, rm, vvvv } = fields
  const base = address === undefined ? rm : address.base
  // X is the fifth bit of a vector register in ModRM.rm; V' is that of a vector index.
  const x = address !== undefined ? address.index >> 3 : fields.rmIsGeneral ? 0 : rm >> 4
  const b4 = address !== undefined || fields.rmIsGeneral ? (base >> 4) & 1 : 0
  const x4 = address === undefined || address.isVectorIndex ? 0 : address.index >> 4
  const v4 = (vvvv >> 4) | (address?.isVectorIndex === true ? address.index >> 4 : 0)
  const registers = ((reg & 8) << 4) | ((x & 1) << 6) | ((base & 8) << 2) | (reg & 16)
  bytes.push(0x62, (~registers & 0xf0) | (b4 << 3) | form.map)
  const pp = size16 ? 1 : simdPrefix(form)
  const wAndX = (w ? 0x80 : 0) | ((x4 ^ 1) << 2) | pp
  if (form.condition >= 0) {
    // CCMP and CTEST: flags in the place of vvvv, the condition in that of V' and the mask.
    bytes.push(wAndX | (fields.defaultFlags << 3), form.condition)
    return
  }
  bytes.push(wAndX | ((~vvvv & 15) << 3))
  const length = fields.rounding === undefined ? Math.max(form.vectorLength, 0) : ROUNDING_MODES[fields.rounding]
  const b = fields.broadcast || fields.rounding !== undefined || form.newDestination
  const nf = noFlags || form.noFlags === 'always' ? 4 : 0
  bytes.push((fields.zeroing ? 0x80 : 0) | (length << 5) | (b ? 0x10 : 0) | ((v4 ^ 1) << 3) | nf | fields.mask)
}
