/** The NaN of the default response: an invalid operation without a NaN (Intel SDM vol. 1, 4.8.3.7). */
const DEFAULT = { 4: 0xffc0_0000n, 8: 0xfff8_0000_0000_0000n } as const
const QUIET = { 4: 0x7fc0_0000n, 8: 0x7ff8_0000_0000_0000n } as const
const FRACTION_TOP = { 4: 0x0040_0000n, 8: 0x0008_0000_0000_0000n } as const

/**
 * Whether vectors are equal but for lanes of DPPS or DPPD that are NaNs of different sources. Of two products or sums that are
 * NaNs the manual does not say which one is taken (Intel SDM vol. 2A, DPPS); some processors take another one in each lane of
 * the destination.
 *
 * @param laneBytes - 4 for DPPS, 8 for DPPD
 * @param sources - all that the instruction may have read; a NaN that it makes is one of these, quiet, or the default one
 */
export function areOtherNaNs(
  laneBytes: 4 | 8,
  expected: Uint8Array,
  actual: Uint8Array,
  sources: readonly Uint8Array[],
): boolean {
  for (let at = 0; at < expected.length; at += laneBytes) {
    const [theirs, ours] = [laneOf(expected, at, laneBytes), laneOf(actual, at, laneBytes)]
    if (theirs === ours) continue
    if (![theirs, ours].every((lane) => isNaNOf(lane, laneBytes, sources))) return false
  }
  return true
}

function isNaNOf(lane: bigint, laneBytes: 4 | 8, sources: readonly Uint8Array[]): boolean {
  if ((lane & QUIET[laneBytes]) !== QUIET[laneBytes]) return false
  if (lane === DEFAULT[laneBytes]) return true
  const top = FRACTION_TOP[laneBytes]
  // Memory operands may be anywhere.
  return sources.some((bytes) => {
    for (let at = 0; at + laneBytes <= bytes.length; at++)
      if ((laneOf(bytes, at, laneBytes) | top) === lane) return true
    return false
  })
}

function laneOf(bytes: Uint8Array, at: number, laneBytes: 4 | 8): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, laneBytes)
  return laneBytes === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true)
}
