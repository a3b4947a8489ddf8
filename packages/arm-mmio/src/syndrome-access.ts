/** The single access described by a valid syndrome: a general register, stored or loaded. */
import { PAGE_BYTES } from '@retrap/memory'
import { type ArmAbort, faultIpa } from './abort.ts'
import type { AccessPath } from './access-path.ts'
import { accessTag, type AccessStatus, STATUS_DONE } from '@retrap/replay'
import { InstructionSet } from '@retrap/arm-decoder'
import { readR, writeR, writeX } from './registers.ts'
import { retire } from './retire.ts'
import { ESR_IL, ESR_ISV, ESR_SAS_SHIFT, ESR_SF, ESR_SRT_SHIFT, ESR_SSE, ESR_WNR } from './syndrome.ts'
import { getWord, putValue } from './transfer.ts'
import { type ArmVcpu, isBigEndian } from './vcpu.ts'

/**
 * Tells whether the syndrome describes one access: it is valid, and the address is aligned, so that no part is on the next
 * page. The first byte of a page may be where the second half of an access has aborted that begins on the page before: only
 * the instruction says so, unless there is but one byte. (HSR counts PC as a register, for which it is never valid.)
 *
 * @param always - for accesses whose ISV is always clear
 */
export function isWholeAccess({ esr, hsr, farLo }: ArmAbort, always: boolean): boolean {
  if ((esr & ESR_ISV) === 0 || (hsr && ((esr >>> ESR_SRT_SHIFT) & 15) === 15)) return false
  const size = 1 << ((esr >>> ESR_SAS_SHIFT) & 3)
  return size === 1 || ((farLo & (size - 1)) === 0 && (always || (farLo & (PAGE_BYTES - 1)) !== 0))
}

/** Makes the access, and retires the instruction. @returns `STATUS_DONE`, or why it could not be made: then nothing has changed */
export function makeSyndromeAccess(vcpu: ArmVcpu, path: AccessPath, abort: ArmAbort): AccessStatus {
  const { esr, hsr } = abort
  const { data } = path
  const write = (esr & ESR_WNR) !== 0
  const size = 1 << ((esr >>> ESR_SAS_SHIFT) & 3)
  const register = (esr >>> ESR_SRT_SHIFT) & (hsr ? 15 : 31)
  const bigEndian = isBigEndian(vcpu)
  const ipa = faultIpa(abort)
  if (write) {
    const lo = hsr ? readR(vcpu, InstructionSet.A32, register) : register < 31 ? vcpu.x[register * 2]! : 0
    const hi = hsr || register === 31 ? 0 : vcpu.x[register * 2 + 1]!
    putValue(data, 0, size, lo, hi, bigEndian)
  }
  const step = path.device(write, ipa >>> 0, Math.floor(ipa / 2 ** 32), size, accessTag(0), 0)
  if (step !== STATUS_DONE) return step
  if (!write) {
    const lo = getWord(data, 0, size, 0, bigEndian)
    loadRegister(vcpu, abort, register, size, lo, size > 4 ? getWord(data, 0, size, 4, bigEndian) : 0)
  }
  retire(vcpu, (esr & ESR_IL) === 0 ? 2 : 4)
  return STATUS_DONE
}

function loadRegister(
  vcpu: ArmVcpu,
  { esr, hsr }: ArmAbort,
  register: number,
  size: number,
  lo: number,
  hi: number,
): void {
  let low = lo
  let high = hi
  if ((esr & ESR_SSE) !== 0 && size < 8) {
    const shift = 32 - Math.min(size, 4) * 8
    low = (lo << shift) >> shift
    high = low < 0 && (esr & ESR_SF) !== 0 && !hsr ? 0xffff_ffff : 0
  }
  // HSR counts registers as the guest's mode does.
  if (hsr) writeR(vcpu, register, low)
  else writeX(vcpu, register, false, low, high)
}
