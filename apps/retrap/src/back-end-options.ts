import { listNetworks, type NetworkFlags } from './networks.ts'
import { listShares, type ShareFlags } from './share/share-options.ts'

/** Options that name networks and directories. */
export interface BackEndFlags extends NetworkFlags, ShareFlags {}

/** Networks and their cards, and virtio devices with directories. @throws CliError `ERR_USAGE` */
export function backEndsOf(flags: BackEndFlags): ReturnType<typeof listNetworks> {
  const listed = listNetworks(flags)
  return { ...listed, virtio: [...listed.virtio, ...listShares(flags)] }
}
