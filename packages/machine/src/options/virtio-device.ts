import type { VirtioConsolePort, VirtioDevice } from '@retrap/virtio'
import type { Share } from '@retrap/virtio/p9'
import type { VsockBackend } from '@retrap/virtio/vsock'
import type { MachineNetworkPlace } from './network-card.ts'
import type { MachineVirtioPlace } from './pci-options.ts'

export interface MachineConsolePort extends VirtioConsolePort {
  /**
   * Whether a replay sends the guest's output to the stream, which then returns nothing. Default false. The history of a recorded run
   * contains a port's output if this is true, and a console's unless this is false.
   */
  readonly inReplays?: boolean | undefined
}

/** A virtio device of a PC, beside its disks. */
export type MachineVirtioDevice = MachineVirtioPlace &
  (
    | {
        /** An entropy source. */
        readonly kind: 'rng'
      }
    | {
        /** A console, with further ports for bytes. */
        readonly kind: 'console'
        /** Ports; the first is a console (`hvc0` of Linux) unless it says otherwise. */
        readonly ports: readonly MachineConsolePort[]
      }
    | ({
        /** A network card. */
        readonly kind: 'net'
      } & MachineNetworkPlace)
    | {
        /** The controller of drives with `interface: 'scsi'`; a machine with such drives has it by default. At most one. */
        readonly kind: 'scsi'
        /** Queues of requests, 1 to 64; default 1. */
        readonly queues?: number | undefined
      }
    | {
        /** Files of the host, by 9P2000.L: `mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt` of Linux. */
        readonly kind: 'share'
        /** The files: a `MemoryShare` of `@retrap/virtio/p9`, or a back end of yours. */
        readonly share: Share
        /** The name that the guest mounts it by. */
        readonly tag: string
        /** Whether the guest may change nothing. Default false. */
        readonly readOnly?: boolean | undefined
      }
    | {
        /** Sockets between guest and host: `AF_VSOCK` of Linux. Connections end where the machine is restored or forked. */
        readonly kind: 'vsock'
        /** The guest's address: 3 to 4294967294. */
        readonly cid: number
        /**
         * The host's side: `VsockPorts` of `@retrap/virtio/vsock`, `UnixVsock` of `@retrap/virtio/node`, or one of yours.
         * Default: the guest's connections are refused.
         */
        readonly host?: VsockBackend | undefined
      }
    | {
        /** An input device. It is typed and moved as the machine's own, `pc.keyboard` and `pc.mouse`, once the guest uses it. */
        readonly kind: 'keyboard' | 'mouse' | 'tablet'
        /** Text that the guest can read, at most 128 bytes of UTF-8. Default none. */
        readonly serialNumber?: string | undefined
      }
    | {
        /** A device of your own. */
        readonly kind: 'device'
        /** The device. */
        readonly device: VirtioDevice
      }
  )

/** Kinds whose classes share one module. */
export const PLAIN_VIRTIO = ['rng', 'console', 'net', 'device'] as const

/** Kinds of input devices. */
export const VIRTIO_INPUT = ['keyboard', 'mouse', 'tablet'] as const

/** Virtio devices of these kinds, in order. */
export function virtioOf<Kind extends MachineVirtioDevice['kind']>(
  devices: readonly MachineVirtioDevice[] | undefined,
  ...kinds: readonly Kind[]
): readonly Extract<MachineVirtioDevice, { readonly kind: Kind }>[] {
  return (devices ?? []).filter((device): device is Extract<MachineVirtioDevice, { readonly kind: Kind }> =>
    (kinds as readonly string[]).includes(device.kind),
  )
}
