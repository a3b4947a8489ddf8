/** The state of IT blocks: which of the next Thumb instructions are conditional, and on what. */

/** The condition of an instruction that has none. */
export const ALWAYS = 14

/**
 * The condition of a Thumb instruction in a state; 14 = always.
 *
 * @param state - ITSTATE; 0 = in no block
 */
export const conditionOf = (state: number): number => (state === 0 ? ALWAYS : state >>> 4)

/**
 * ITSTATE after an instruction.
 *
 * Source: Arm ARM (DDI 0487), "ITAdvance", "IT".
 *
 * @param state - ITSTATE before it; 0 = in no block
 * @param first - its first halfword
 */
export function advanceIfThen(state: number, first: number): number {
  // IT, and none of the hints, which have no mask.
  if (first >>> 8 === 0xbf && (first & 15) !== 0) return first & 0xff
  return (state & 7) === 0 ? 0 : (state & 0xe0) | ((state << 1) & 0x1f)
}
