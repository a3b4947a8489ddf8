/**
 * The processor control region of 32-bit Windows, which FS points at in the kernel.
 *
 * Source: the kvmvapic option ROM's interface; Windows' KPCR.
 */
import type { VapicHost } from './host.ts'
import { word } from './structure.ts'

const KPCR_SELF = 0x1c
/** Offset of the processor's number. */
export const KPCR_NUMBER = 0x51

/** Returns the processor's number from its KPCR; -1 if FS does not point to a KPCR, which must contain its own address. */
export function kpcrNumber(host: VapicHost, vcpu: number): number {
  const { fsBase } = host.registers(vcpu)
  const bytes = new Uint8Array(KPCR_NUMBER + 1)
  if (!host.readLinear(vcpu, fsBase, bytes)) return -1
  return word(bytes, KPCR_SELF) === fsBase >>> 0 ? bytes[KPCR_NUMBER]! : -1
}
