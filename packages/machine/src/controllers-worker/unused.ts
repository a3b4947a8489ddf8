import type { BlockBackend, BlockProperties, PacketBackend } from '@retrap/device'

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
export function unusedNetwork({
  linkUp,
  maximumBytes,
  macAddress,
}: Pick<PacketBackend, 'linkUp' | 'macAddress' | 'maximumBytes'>): PacketBackend {
  return {
    linkUp,
    maximumBytes,
    ...(macAddress !== undefined && { macAddress }),
    connect() {},
    send: () => true,
    ready() {},
  }
}
