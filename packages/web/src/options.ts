import type { KeyboardLayoutName } from '@retrap/display'

/**
 * An image: its address, a file that the user has chosen, or bytes. An address that ends in `#gzip` is of a file that gzip has
 * packed, for servers that do not compress; it is not for disks, snapshots and recordings, which are read by parts.
 */
export type Source = string | URL | Blob | ArrayBuffer | Uint8Array

/** A disk or a CD drive. */
export interface DriveOptions {
  /**
   * The image: a raw one or a qcow2 image. One at an address is read by ranges when the guest wants them. Null: a CD or
   * floppy drive without a medium.
   */
  readonly source: Source | null
  /** Names the drive in events and for `machine.insert`. Default `cd0`, `disk0`, `floppy0` and so on, in the order of the drives. */
  readonly id?: string
  /** Default `disk`. The guest's writes to a disk stay in memory, and go with the machine, unless they are kept. */
  readonly media?: 'disk' | 'cdrom'
  /**
   * Keeps the guest's writes to a disk in the browser's private file system, by this name: a machine of another day goes on
   * with it. One machine at a time has it. A machine with such a disk has no snapshots. See `keptDisks`.
   */
  readonly keep?: string
  /** Interface of the drive; default `ide`, which is SATA on a `q35`. `floppy` is floppy drive A, or B; an Arm board has none. */
  readonly interface?: 'ide' | 'virtio' | 'nvme' | 'scsi' | 'usb' | 'floppy'
}

/** A network card of the guest, and its network. */
export type NetworkOptions = {
  /** The card; default `virtio`. `e1000` is Intel's 82540EM, which nearly all systems know. */
  readonly card?: 'virtio' | 'e1000'
  /**
   * The card's address, such as `52:54:00:12:34:56`. Default: a random one for the machine, which its snapshots keep; two
   * machines on one network need different addresses.
   */
  readonly macAddress?: string
} & (
  | {
      /**
       * A network behind the page, with DHCP and DNS as QEMU's user network has them. Requests of HTTP are made by `fetch`: only
       * hosts that allow the page (CORS) answer, and traffic that the guest encrypts itself, such as https, cannot pass. The
       * guest reaches the hosts that the browser reaches: its own network, and this computer as 10.0.2.2. No cookies are sent.
       */
      readonly kind: 'fetch'
    }
  | {
      /** A hub that joins the machines in all tabs of this origin. */
      readonly kind: 'tabs'
      /** Tells hubs apart; default `retrap`. */
      readonly name?: string
    }
  | {
      /**
       * A relay behind a WebSocket: each binary message is one Ethernet frame, without checksum. v86 calls it wsproxy. The relay
       * sees all of the traffic.
       */
      readonly kind: 'relay'
      /** `wss:`, or `ws:`. */
      readonly url: string | URL
    }
  | {
      /**
       * A public relay that speaks Wisp, as v86 uses them: guests have DHCP and DNS as with `fetch`, and the relay makes their
       * TCP connections, and UDP if it supports UDP. The relay sees all unencrypted traffic.
       */
      readonly kind: 'wisp'
      /** `wss:`, or `ws:`; v86's `wisps:` and `wisp:` are equivalent. */
      readonly url: string | URL
    }
  | {
      /** Nowhere. */
      readonly kind: 'none'
    }
)

/** How a machine is made. Without kernel and firmware there must be a drive to start from, and firmware for that. */
export interface MachineOptions {
  /** Guest RAM in bytes, whole pages; default 128 MiB. */
  readonly memoryBytes?: number
  /** vCPUs, 1 to 128; default 1. */
  readonly cpus?: number
  /**
   * How several vCPUs execute: `threads`, each in a Worker of its own, at the same time; or `turns`, all in one. Default `threads`
   * for up to 31 vCPUs of a PC without Xen that is not recorded, in a cross-origin isolated page, where the browser has
   * `Atomics.waitAsync` and the computer is known to order memory as x86 does. `Machine.turns` says why they take turns.
   */
  readonly smp?: 'threads' | 'turns'
  /** The processor, such as `max` (default) or `core2,-sse4_1`. */
  readonly cpu?: string
  /**
   * The board: `pc` (default), `q35`, or `virt`, an Arm board with 64-bit vCPUs. That one starts a kernel (a Linux Image), and
   * has no firmware yet; all of a snapshot's RAM is read before it goes on.
   */
  readonly board?: 'pc' | 'q35' | 'virt'
  /** A Linux kernel, a PVH ELF or a multiboot image. */
  readonly kernel?: Source
  /** The kernel's initial RAM disk. */
  readonly initrd?: Source
  /** The kernel's command line. */
  readonly commandLine?: string
  /** A flat firmware image, such as SeaBIOS. */
  readonly firmware?: Source
  /** Disks and CD drives. */
  readonly drives?: readonly DriveOptions[]
  /** The graphics card; default `std` if firmware boots from drives, otherwise `none`. */
  readonly vga?: 'std' | 'none'
  /** Video BIOS of the graphics card, such as SeaVGABIOS. */
  readonly vgaBios?: Source
  /** A USB tablet: the pointer is where the page's pointer is. Default false: a PS/2 mouse. */
  readonly tablet?: boolean
  /** Files that the guest shares with the page, by 9P (virtio): `machine.files`. Default false. */
  readonly files?: boolean
  /** Whether the machine has a sound card (AC '97); default false. `machine.attachSound` plays its output, as well as the PC speaker's. */
  readonly sound?: boolean
  /** A network card, and where its cable leads; default no card, or the snapshot's card with a cable that is not connected. */
  readonly network?: NetworkOptions
  /** The layout printed on the keyboard's keys, for `machine.type`; default `us`. */
  readonly layout?: KeyboardLayoutName
  /** Shows the guest Xen's interface. Default `none`. */
  readonly hypervisor?: 'none' | 'xen'
  /**
   * Goes on from a snapshot: of `machine.save`, or of `retrap run --save-on-exit`. It is read as the guest needs it: it begins
   * before its RAM has come. Options that are not given are the saved machine's; its drives and firmware are to be given
   * again, a kernel only for a reset.
   */
  readonly snapshot?: Source
  /**
   * Opens a recording that `machine.debugger.save` has made: the machine is where it ends, and `machine.debugger` goes through it. Options
   * and images are the recorded machine's. `run` goes on from where the debugger is.
   */
  readonly recording?: Source
  /**
   * Keeps data of disks and snapshots at addresses in the browser's private file system, where the server sends a strong `ETag`:
   * it is not fetched again, and can be read without a network. One tab at a time does so for an image. Default true. See
   * `fetchedBytes`.
   */
  readonly keepFetched?: boolean
  /**
   * Records the run from its first instruction on, so that `machine.debugger` goes back in it. Its time is deterministic, and keeps
   * pace with the host. Default false: `machine.debugger.record` begins at any instant.
   */
  readonly record?: boolean
  /** Compiles hot guest code; default true. */
  readonly jit?: boolean
  /**
   * How pixels reach the page: `shared` memory, which needs a cross-origin isolated page, or `messages`. Default
   * `auto`: shared memory if available; otherwise a message in the console names the missing requirement.
   */
  readonly transport?: 'auto' | 'shared' | 'messages'
  /** Called with the loaded part of the images. */
  readonly onProgress?: (progress: Progress) => void
  /** Gives up making the machine. */
  readonly signal?: AbortSignal
  /** Returns the module Worker, for example one from `startMachineWorker`, or one with a program from another address. */
  readonly createWorker?: () => Worker
}

/** The loaded part of an image. */
export interface Progress {
  /** `kernel`, `initrd`, `firmware`, `vgaBios`, `snapshot`, or the name of a drive. */
  readonly image: string
  /** Bytes loaded so far. */
  readonly loadedBytes: number
  /** Total bytes; null if the server does not report a length. */
  readonly totalBytes: number | null
  /** Whether the server is unreachable, and is retried every second; the guest waits when it needs missing data. */
  readonly waits?: boolean
  /** The server answers no requests for a range: all of the image was fetched, which is done up to 64 MiB. */
  readonly whole?: boolean
}
