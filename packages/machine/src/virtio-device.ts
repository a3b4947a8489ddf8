import type { PacketBackend } from '@retrap/device'
import type { VirtioConsolePort, VirtioDevice } from '@retrap/virtio'
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
    | {
        /** A network card. */
        readonly kind: 'net'
        /** The network: one of `@retrap/network`, or a back end of yours. */
        readonly network: PacketBackend
        /** Its address, six bytes; default what the network prescribes, or 52:54:00:12:34:56 for the first card, 57 and so on. */
        readonly macAddress?: Uint8Array | undefined
      }
    | {
        /** A device of your own. */
        readonly kind: 'device'
        /** What it is. */
        readonly device: VirtioDevice
      }
  )
