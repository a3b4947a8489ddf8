import type { BlockBackend, PacketBackend } from '@retrap/device'
import { MESSAGE } from './messages.ts'
import type { MovedControllers } from './split.ts'

/** Kinds of message that are about networks. */
export const OF_NETWORK: ReadonlySet<number> = new Set([
  ...[MESSAGE.send, MESSAGE.taken, MESSAGE.filter],
  ...[MESSAGE.receive, MESSAGE.sent, MESSAGE.link],
])

/** The same controllers with other media and networks. */
export function withBackEnds(
  moved: MovedControllers,
  medium: (drive: number) => BlockBackend | null,
  network: (card: number) => PacketBackend,
): MovedControllers {
  let card = 0
  return {
    ...moved,
    ...(moved.drives && { drives: moved.drives.map((drive, i) => ({ ...drive, medium: medium(i) })) }),
    virtio: moved.virtio.map((one) => (one.kind === 'net' ? { ...one, network: network(card++) } : one)),
    networkCards: moved.networkCards.map((one) => ({ ...one, network: network(card++) })),
  }
}
