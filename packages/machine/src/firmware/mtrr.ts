import { writeModelSpecificRegister } from '@retrap/x86-cpu'
import type { Vcpu } from '@retrap/x86-cpu'
import { PCI_HOLE_BASE } from '../loaders/index.ts'

const IA32_MTRR_PHYSBASE0 = 0x200
const IA32_MTRR_PHYSMASK0 = 0x201
const IA32_MTRR_FIX64K_00000 = 0x250
const IA32_MTRR_FIX16K_80000 = 0x258
const IA32_MTRR_FIX16K_A0000 = 0x259
const IA32_MTRR_FIX4K_C0000 = 0x268
const FIX4K_COUNT = 8
const IA32_MTRR_DEF_TYPE = 0x2ff

/** Eight ranges of one memory type each (SDM vol. 3A, "MTRR Memory Types"). */
const UNCACHEABLE = 0x0000_0000_0000_0000n
const WRITE_PROTECTED = 0x0505_0505_0505_0505n
const WRITE_BACK = 0x0606_0606_0606_0606n

const DEFAULT_WRITE_BACK = 6n
const FIXED_ENABLE = 1n << 10n
const ENABLE = 1n << 11n
const VALID = 1n << 11n

/**
 * Leaves a processor's memory types as a PC's firmware does when it starts an operating system: write-back by default, the
 * hole below 4 GiB and the VGA window uncacheable, ROM write-protected. The PAT stays as reset has left it. All processors
 * of a machine must agree. A model without MTRRs has nothing to set.
 *
 * @param ecam - PCI Express configuration space, which is uncacheable too
 *
 * Source: SDM vol. 3A, "Memory Type Range Registers (MTRRs)".
 */
export function handOverMemoryTypes(vcpu: Vcpu, ecam?: { readonly base: number; readonly buses: number }): void {
  const { processor } = vcpu
  if (!processor.has('MTRR')) return
  const hole = BigInt(PCI_HOLE_BASE)
  const maskOf = (bytes: bigint): bigint => ((1n << BigInt(processor.paging.maxPhysicalBits)) - 1n) & ~(bytes - 1n)
  const registers: [number, bigint][] = [
    [IA32_MTRR_FIX64K_00000, WRITE_BACK],
    [IA32_MTRR_FIX16K_80000, WRITE_BACK],
    [IA32_MTRR_FIX16K_A0000, UNCACHEABLE],
    ...Array.from({ length: FIX4K_COUNT }, (_, i): [number, bigint] => [IA32_MTRR_FIX4K_C0000 + i, WRITE_PROTECTED]),
    [IA32_MTRR_PHYSBASE0, hole],
    [IA32_MTRR_PHYSMASK0, maskOf((1n << 32n) - hole) | VALID],
    ...(ecam === undefined ? [] : uncacheable(1, BigInt(ecam.base), maskOf(BigInt(ecam.buses) << 20n))),
    [IA32_MTRR_DEF_TYPE, ENABLE | FIXED_ENABLE | DEFAULT_WRITE_BACK],
  ]
  for (const [index, value] of registers) {
    if (!writeModelSpecificRegister(vcpu, index, value)) throw new Error(`the CPU refused MTRR ${index.toString(16)}`)
  }
}

/** A variable range of that type. */
function uncacheable(range: number, base: bigint, mask: bigint): [number, bigint][] {
  return [
    [IA32_MTRR_PHYSBASE0 + 2 * range, base],
    [IA32_MTRR_PHYSMASK0 + 2 * range, mask | VALID],
  ]
}
