import type { LocalApic } from '@retrap/irqchip'
import type { Processor } from '@retrap/x86-cpu'

/** CPUID leaf 1, EDX: more than one logical processor shares the package; there is a local APIC. */
const HTT = 1 << 28
const APIC = 1 << 9
/** AMD's leaf 8000_0001H, ECX: the logical processors of the package are cores. */
const CMP_LEGACY = 1 << 1

/**
 * Adds to a CPUID leaf what depends on the domain: APIC ID, processors in the package, the local APIC's presence.
 *
 * Source: SDM vol. 2A, "CPUID—CPU Identification", leaves 1, 4 and 0BH; AMD APM vol. 3, appendix E, "Multiple
 * Processor Calculation".
 */
export function describeTopology(
  processor: Processor,
  apic: LocalApic,
  cpus: number,
  leaf: number,
  subleaf: number,
  into: Uint32Array,
): void {
  const id = apic.apicId
  const known = processor.answeringLeaf(leaf)
  if (known === 1) {
    into[1] = (into[1]! & 0xff00) | (Math.min(cpus, 255) << 16) | ((id & 0xff) << 24)
    if (cpus > 1) into[3]! |= HTT
    if (!apic.present) into[3]! &= ~APIC
  } else if (known === 4 && into[0]! !== 0) {
    into[0]! |= (Math.min(cpus, 64) - 1) << 26
  } else if (known === 0xb) {
    if (subleaf === 1) {
      into[0] = Math.ceil(Math.log2(Math.max(cpus, 2)))
      into[1] = cpus
    }
    into[3] = id
  } else if (processor.amd && known === 0x8000_0001) {
    if (cpus > 1) into[2]! |= CMP_LEGACY
    if (!apic.present) into[3]! &= ~APIC
  } else if (processor.amd && known === 0x8000_0008) {
    // Cores less one, and how many bits of the APIC ID number them.
    into[2]! |= (Math.min(cpus, 256) - 1) | (Math.ceil(Math.log2(cpus)) << 12)
  }
}
