import type { BlockBackend, BlockProperties, PacketBackend } from '@retrap/device'
import { networkOf, type NetworkFacts } from '../back-ends/packets.ts'

/** Returns a medium that is never read or written. */
export function unusedMedium(properties: BlockProperties): BlockBackend {
  const none = (): Promise<void> => Promise.resolve()
  return {
    properties,
    read: none,
    write: none,
    flush: none,
    discard: none,
    writeZeroes: none,
    onChange: () => () => {},
  }
}

/** Returns a network that is never used. */
export const unusedNetwork = (facts: NetworkFacts): PacketBackend => ({
  ...networkOf(facts),
  connect() {},
  send: () => true,
  ready() {},
})
