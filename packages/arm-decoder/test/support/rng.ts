/** A small generator of 32-bit numbers, the same for the same seed. */
export function words(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    // xorshift32 over a Weyl sequence.
    state = (state + 0x9e37_79b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
}
