/**
 * Checks whether a decoded instruction explains the abort.
 *
 * The instruction is read after the trap, so it may differ from the executed one. It is emulated only if it matches the
 * abort in direction, address and, if the syndrome has it, size. The register is not compared, because erratum 766422
 * reports a wrong one.
 */
import type { ArmAbort } from './abort.ts'
import type { LoadStore } from '@retrap/arm-decoder'
import { ESR_CM, ESR_ISV, ESR_SAS_SHIFT, ESR_WNR } from './syndrome.ts'
import { type ArmVcpu, isAArch32 } from './vcpu.ts'

/** The memory that an instruction accesses. */
export interface Extent {
  /** First byte. */
  readonly lo: number
  readonly hi: number
  readonly bytes: number
  /** A second range of the same size that may have aborted: a copy's source. Other instructions repeat their own range. */
  readonly otherLo: number
  readonly otherHi: number
}

type Operation = LoadStore['form']['operation']
const WRITES: ReadonlySet<Operation> = new Set([
  'store',
  'store-exclusive',
  'store-64b',
  'zero',
  'fill',
  'save',
  'tag-store',
])
/** Operations that read and write: the processor may report either. */
const READS_AND_WRITES: ReadonlySet<Operation> = new Set(['atomic', 'compare-and-swap', 'copy', 'copy-forward'])

/** Cache lines are at most this long. */
const MAX_LINE = 2048

/** Whether an instruction would have made this abort. */
export function explains(vcpu: ArmVcpu, insn: LoadStore, abort: ArmAbort, extent: Extent): boolean {
  const { esr } = abort
  const { operation } = insn.form
  const cache = operation === 'cache'
  // A fault of cache maintenance is reported as such, and no other fault is.
  if (cache !== ((esr & ESR_CM) !== 0)) return false
  if (operation === 'prefetch') return false
  const write = (esr & ESR_WNR) !== 0
  if (!cache && !READS_AND_WRITES.has(operation) && WRITES.has(operation) !== write) return false
  if ((esr & ESR_ISV) !== 0) {
    // Only plain loads and stores of one register have a valid syndrome.
    if (insn.elements !== 1 || 1 << ((esr >>> ESR_SAS_SHIFT) & 3) !== insn.elementSize) return false
  }
  const aarch32 = isAArch32(vcpu)
  if (cache) return inRange(aarch32, abort, (extent.lo & ~(MAX_LINE - 1)) >>> 0, extent.hi, MAX_LINE)
  return (
    inRange(aarch32, abort, extent.lo, extent.hi, extent.bytes) ||
    (!write && inRange(aarch32, abort, extent.otherLo, extent.otherHi, extent.bytes))
  )
}

/** Whether the fault address is one of the bytes. A tag in the top byte is not compared. */
function inRange(aarch32: boolean, abort: ArmAbort, lo: number, hi: number, bytes: number): boolean {
  const distance = (abort.farLo >>> 0) - (lo >>> 0)
  if (aarch32) return distance >>> 0 < bytes
  const borrow = distance < 0 ? 1 : 0
  const high = ((abort.farHi >>> 0) - hi - borrow) & 0xff_ffff
  return high === 0 && distance >>> 0 < bytes
}
