import { listNetworks, type NetworkFlags } from '../network/networks.ts'
import { listConsoles } from '../serial/console-devices.ts'
import type { ChardevArgument, SerialFlags } from '../serial/serial-options.ts'
import { listShares, type ShareFlags } from '../share/share-options.ts'

/** Options that name networks, directories and streams. */
export interface BackEndFlags extends NetworkFlags, ShareFlags, SerialFlags {}

/** Networks and their cards, virtio devices with directories and consoles, and what these lead to. @throws CliError `ERR_USAGE` */
export function backEndsOf(
  flags: BackEndFlags,
): ReturnType<typeof listNetworks> & { readonly chardevs: readonly ChardevArgument[] } {
  const listed = listNetworks(flags)
  const virtio = [...listed.virtio, ...listShares(flags), ...listConsoles(flags)]
  return { ...listed, virtio, chardevs: flags.chardev ?? [] }
}
