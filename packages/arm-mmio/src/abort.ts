/**
 * The registers of an abort taken to EL2.
 *
 * Source: Arm ARM (DDI 0487), "HPFAR_EL2, Hypervisor IPA Fault Address Register", "FAR_EL2".
 */
import { PAGE_BYTES } from '@retrap/memory'
import { ESR_FSC, ESR_S1PTW, faultKind } from './syndrome.ts'

/** The processor's report. Words are 32 bits. */
export interface ArmAbort {
  /** ESR_EL2's low word, or HSR. */
  readonly esr: number
  /** The hypervisor runs in AArch32: `esr` is HSR, and register numbers in it are the guest's own. */
  readonly hsr: boolean
  /** FAR_EL2, HDFAR or HIFAR. */
  readonly farLo: number
  /** FAR_EL2, high word. */
  readonly farHi: number
  /** HPFAR_EL2: bits 47:12 of the IPA in its bits 39:4. */
  readonly hpfarLo: number
  /** HPFAR_EL2, high word. */
  readonly hpfarHi: number
}

/**
 * Whether HPFAR holds an IPA: for translation, access flag and address size faults, and whenever a walk of stage 1 failed.
 * Not for permission faults: there stage 1 must be walked.
 */
export function hpfarValid(esr: number): boolean {
  if ((esr & ESR_S1PTW) !== 0) return true
  const kind = faultKind(esr & ESR_FSC)
  return kind === 'translation' || kind === 'access-flag' || kind === 'address-size'
}

/**
 * The IPA that an abort reports, a number of at most 48 bits. With S1PTW it is that of a table's page, without its low
 * bits. Only where `hpfarValid`.
 */
export function faultIpa(abort: ArmAbort): number {
  const page = ((abort.hpfarHi & 0xff) * 2 ** 32 + ((abort.hpfarLo & ~15) >>> 0)) * 2 ** 8
  return (abort.esr & ESR_S1PTW) !== 0 ? page : page + (abort.farLo & (PAGE_BYTES - 1))
}
