import type { MachineMemory } from '@retrap/memory'

/** A field of a processor's state that compiled code takes for granted. */
export interface StateAssumption {
  /** Its offset in the state. */
  readonly offset: number
  /** Its bytes: 1, 2, 4 or 8. */
  readonly bytes: number
  /** Its value, without a sign. */
  readonly value: bigint
}

/** Returns whether the fields of the state at a machine address are as assumed. */
export function isAsAssumed({ u8 }: MachineMemory, assumptions: readonly StateAssumption[], state: number): boolean {
  return assumptions.every(({ offset, bytes, value }) => {
    let found = 0n
    for (let i = bytes; i-- > 0;) found = (found << 8n) | BigInt(u8[state + offset + i]!)
    return found === value
  })
}
