import type { LocalApic } from '@retrap/irqchip'

/** CPUID leaf 1, EDX: more than one logical processor shares the package; there is a local APIC. */
const HTT = 1 << 28
const APIC = 1 << 9

/**
 * Adds to a CPUID leaf what depends on the domain: APIC ID, processors in the package, the local APIC's presence.
 *
 * Source: SDM vol. 2A, "CPUID—CPU Identification", leaves 1, 4 and 0BH.
 */
export function describeTopology(
  apic: LocalApic,
  cpus: number,
  leaf: number,
  subleaf: number,
  into: Uint32Array,
): void {
  const id = apic.apicId
  if (leaf === 1) {
    into[1] = ((into[1] as number) & 0xff00) | (Math.min(cpus, 255) << 16) | ((id & 0xff) << 24)
    if (cpus > 1) into[3]! |= HTT
    if (!apic.present) into[3]! &= ~APIC
  } else if (leaf === 4 && (into[0] as number) !== 0) {
    into[0]! |= (Math.min(cpus, 64) - 1) << 26
  } else if (leaf === 0xb) {
    if (subleaf === 1) {
      into[0] = Math.ceil(Math.log2(Math.max(cpus, 2)))
      into[1] = cpus
    }
    into[3] = id
  }
}
