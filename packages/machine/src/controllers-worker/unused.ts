import type { BlockBackend, BlockProperties, PacketBackend } from '@retrap/device'

/** Stands for a medium where nothing is asked of it. */
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

/** Stands for a network that nobody uses. */
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
