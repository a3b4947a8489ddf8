import type { VirtioConsolePort, VirtioDevice } from '@retrap/virtio'
import type { PcNetworkPlace } from './network-card.ts'
import type { PcVirtioPlace } from './virtio-place.ts'

/** A virtio device of a PC, beside its disks. */
export type PcVirtioDevice = PcVirtioPlace &
  (
    | {
        /** An entropy source. */
        readonly kind: 'rng'
      }
    | {
        /** A console, with further ports for bytes. */
        readonly kind: 'console'
        /** Its ports; the first is a console (`hvc0` of Linux) unless it says otherwise. */
        readonly ports: readonly VirtioConsolePort[]
      }
    | ({
        /** A network card. */
        readonly kind: 'net'
      } & PcNetworkPlace)
    | {
        /** A device of your own. */
        readonly kind: 'device'
        /** What it is. */
        readonly device: VirtioDevice
      }
  )
