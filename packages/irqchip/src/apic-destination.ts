/*
 * Logical destinations. Source: Intel SDM vol. 3A, "Logical Destination Mode", "Logical Destination Mode in x2APIC
 * Mode".
 */

const FLAT_MODEL = 0xf
const ALL_CLUSTERS = 0xf

/**
 * @param ldr - the logical APIC ID, 8 bits
 * @param model - DFR bits 31:28: flat or cluster
 * @param destination - the message destination address; more than 8 bits match nobody
 */
export function matchesXapicLogical(ldr: number, model: number, destination: number): boolean {
  if (destination > 0xff) return false
  if (model === FLAT_MODEL) return (ldr & destination) !== 0
  const cluster = destination >>> 4
  return (cluster === ALL_CLUSTERS || cluster === ldr >>> 4) && (ldr & destination & 0xf) !== 0
}

/**
 * @param ldr - the logical x2APIC ID: cluster in the high half, one bit in the low half
 * @param destination - likewise, with any number of bits
 */
export function matchesX2apicLogical(ldr: number, destination: number): boolean {
  return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0
}
