import type { DeviceModel } from '@retrap/device'
import type { Keyboard, Mouse, Screen } from '@retrap/display'
import type { GuestPages, GuestPageSource } from '@retrap/hvm'
import type { DeviceFailure, FailurePolicy, IoTraceRecord } from '@retrap/ioreq'
import type { StartControllerServer, StartPartServer } from '../board/start.ts'
import type { MachineFlash } from '../firmware/flash.ts'
import type { MachineSmbios } from '../firmware/smbios.ts'
import type { ResetImages, StartDeviceServer } from '../lifecycle/machine-life.ts'
import type { SamplingOptions } from '../lifecycle/sampling.ts'
import type { MachineBootOptions, MachineDrive } from './drives.ts'
import type { MachineNetworkCard } from './network-card.ts'
import type { MachineRootPort, MachineSoundDevice, MachineUsb } from './pci-options.ts'
import type { MachineVirtioDevice } from './virtio-device.ts'

/** Room in a machine's memory for clones. */
export interface MachineForks {
  /** Most clones at a time, including clones of clones; at least 1. */
  readonly clones: number
  /**
   * Bytes of RAM that each clone may write, and the machine itself while it has clones. A frame takes room at its first
   * write. All share one pool: a clone may write more if others write less.
   */
  readonly writtenBytes: number
}

/** Options of a machine with any board: a PC or an Arm board. */
export interface MachineOptions {
  /** Guest RAM in bytes: whole 4 KiB pages, 1 MiB to about 3.5 GiB. */
  readonly memoryBytes: number
  /** vCPUs; default 1. */
  readonly cpus?: number | undefined
  /** The program that the machine starts, by itself or from firmware. */
  readonly kernel?: Uint8Array | undefined
  /** The kernel's initial RAM disk, or the first module. */
  readonly initrd?: Uint8Array | undefined
  /** The kernel's command line, passed as it is given; default empty. A multiboot kernel expects its file's name first. */
  readonly commandLine?: string | undefined
  /**
   * Goes on where a machine with the same options was saved, by its `save`, instead of starting; a kernel that would start by
   * itself is not needed then. On the host's clock the time that has passed since then passes for the guest too, up to 7 days, in
   * pauses, so that its clock is right and Linux seeds its random numbers anew; not where `generation` has `after: 'same'`.
   */
  readonly snapshot?: { readonly state: object; readonly pages: GuestPages | GuestPageSource } | undefined
  /**
   * A device (VM Generation ID) that tells the guest that it goes on from an earlier instant, as a clone does: Linux then seeds
   * its random numbers anew. Default none.
   */
  readonly generation?: MachineGeneration | undefined
  /** Room in machine memory for clones (`fork` of the machine), which share the RAM that nobody writes. Default none. */
  readonly forks?: MachineForks | undefined
  /** Flash memories with firmware, which starts first. The first has the firmware, the second its variables. */
  readonly flash?: readonly MachineFlash[] | undefined
  /**
   * Disks and CD drives: at most four of an IDE controller, or six of the SATA controller of a `q35` or an Arm board, which the
   * machine has only for them; virtio disks, NVMe drives, drives of a SCSI controller, and sticks of the USB controller.
   */
  readonly drives?: readonly MachineDrive[] | undefined
  /** Virtio devices, each on the PCI bus. */
  readonly virtio?: readonly MachineVirtioDevice[] | undefined
  /** Root ports of PCI Express, and of a `pc` slots of bus 0: a device on the PCI bus is there by `port`, and comes and goes. */
  readonly rootPorts?: readonly MachineRootPort[] | undefined
  /** Sound devices, each on the PCI bus. */
  readonly sound?: readonly MachineSoundDevice[] | undefined
  /** Network cards that are not virtio devices, each on the PCI bus. */
  readonly networkCards?: readonly MachineNetworkCard[] | undefined
  /** USB controllers (xHCI) with their devices; drives with `interface: 'usb'` are at the first controller. */
  readonly usb?: MachineUsb | readonly MachineUsb[] | undefined
  /**
   * Files that the guest reads by fw_cfg, by name (at most 55 ASCII characters), such as `opt/org.example/config`: Ignition and
   * systemd read some, and Linux shows all at `/sys/firmware/qemu_fw_cfg/by_name`. Default none beside the board's.
   */
  readonly fwCfgFiles?: Readonly<Record<string, Uint8Array>> | undefined
  /** Texts of the SMBIOS tables; default: retrap has made the machine, which has no UUID. */
  readonly smbios?: MachineSmbios | undefined
  /** The devices that firmware boots from. */
  readonly boot?: MachineBootOptions | undefined
  /**
   * The graphics card: `std`, which QEMU has by that name; `ramfb`, a picture in guest RAM, where UEFI firmware says by fw_cfg; or
   * `none` (default).
   */
  readonly vga?: 'std' | 'ramfb' | 'none' | undefined
  /**
   * The mode that the monitor of `vga: 'std'` says it prefers, by EDID: drivers and firmware choose it. From 320 by 200 to 2560
   * by 1600; null: the monitor says nothing, and a PC's card has no BAR 2, where a video BIOS started by U-Boot would fail.
   * Default 1280 by 800, as QEMU's.
   */
  readonly preferredMode?: { readonly width: number; readonly height: number } | null | undefined
  /** The screen that a graphics card's picture is shown on; default a screen of its own. */
  readonly screen?: Screen | undefined
  /** The hypervisor that the guest sees: `none` (default), or `xen` with its hypercalls, store and console, and a PC's platform device. */
  readonly hypervisor?: 'none' | 'xen' | undefined
  /** The machine's keyboard; default a new one with the layout `us`. A keyboard can be moved to another machine. */
  readonly keyboard?: Keyboard | undefined
  /** The machine's mouse; default a new one. */
  readonly mouse?: Mouse | undefined
  /** Models beside the board's own: PCI functions, and others. */
  readonly devices?: readonly DeviceModel[] | undefined
  /**
   * Where the board's models run: `inline` (default), straight from the instruction; `deferred`, where every access is
   * answered in a later turn of the event loop; or in a thread of their own, which this starts. Models of `devices` are
   * in this thread either way.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartPartServer<never> | undefined
  /**
   * Where controllers of disks (IDE, SATA, virtio, NVMe, SCSI) and network cards run: in this thread (default), or in one of
   * their own, which this starts, with `serveControllers` in it. Media and networks stay here. The machine's memory is shared
   * then. Controllers behind root ports stay in this thread.
   */
  readonly controllerPlacement?: StartControllerServer | undefined
  /**
   * Puts the machine into shared memory, so that device models in Workers can map the guest's: `openGuestMemory` of
   * `@retrap/hvm` takes `platform.sharedMemory`.
   */
  readonly sharedMemory?: boolean | undefined
  /** Room for memory that device models own, such as a frame buffer, in bytes; default 0, which leaves about 4 MiB. */
  readonly deviceMemoryBytes?: number | undefined
  /** Start further servers in other threads or processes; the machine ends them with `close`. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
  /** The policy for a device model that fails: the machine ends (default), or the model. */
  readonly devicePolicy?: FailurePolicy | undefined
  /**
   * Milliseconds of host time that a device model may take for an answer; `Infinity`: for ever. Default for ever on the
   * real clock, 30 seconds on the deterministic one, where the whole machine waits meanwhile.
   */
  readonly deviceDeadlineMs?: number | undefined
  /** Called for device models that fail. */
  readonly onDeviceFailure?: ((failure: DeviceFailure) => void) | undefined
  /** Called for every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /**
   * Called when the guest has reset the machine, which starts again in place, within its `run`: RAM, batteries and media stay;
   * firmware or the kernel is loaded again. Default: `run` ends with `reset`, and `reset` starts the machine again.
   *
   * @returns images in the place of the options'
   */
  readonly onReset?: (() => ResetImages | void | Promise<ResetImages | void>) | undefined
  /** `real` (default) follows the host's clock; `deterministic` derives time from the guest's instructions and events. */
  readonly clock?: 'real' | 'deterministic' | undefined
  /** On deterministic time a guest that waits for a timer waits as long for the host: see `HostPacing`. Default false. */
  readonly keepsPace?: boolean | undefined
  /** Wall-clock time at power-on, seconds from 1970; default the host's, or a fixed one where time is deterministic. */
  readonly epochSeconds?: number | undefined
  /** Begins the random numbers of a machine on deterministic time: 32 bits, of which the lowest is not looked at; default a fixed one. */
  readonly entropySeed?: number | undefined
  /**
   * Bytes of the arena for decoded instructions, 64 KiB or more; default 64 MiB for a PC, 16 MiB for an Arm board. When it is
   * full everything in it is dropped, and compiled code too; the host allocates used pages only.
   */
  readonly codeCacheBytes?: number | undefined
  /** Options of the sampling profiler; default no samples. */
  readonly sampling?: SamplingOptions | undefined
  /** Compile hot code to WebAssembly of its own, for speed. Default false. */
  readonly jit?: boolean | object | undefined
}

/** The options of a clone's own, as in {@link MachineOptions}. */
export interface MachineForkOptions extends Pick<
  MachineOptions,
  | 'devices'
  | 'drives'
  | 'virtio'
  | 'networkCards'
  | 'usb'
  | 'sound'
  | 'keyboard'
  | 'mouse'
  | 'screen'
  | 'generation'
  | 'onDeviceFailure'
  | 'trace'
> {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
}

/** Settings of the device for `MachineOptions.generation`. */
export interface MachineGeneration {
  /**
   * The identifier after a fork, a restore and a reset: a `new` one, with a notice to the guest (default on the host's clock), or
   * the `same` (default where time is deterministic, as the machine then goes on exactly as it did). A whole number of 32 bits on
   * deterministic time stands for a new one that it decides, with all random numbers after it: clones get a number each.
   */
  readonly after?: 'new' | 'same' | number | undefined
  /**
   * Whether the time since the snapshot passes for a guest that gets a new identifier. Without, its clock is late until something
   * sets it. Default true.
   */
  readonly catchesUp?: boolean | undefined
}

/** Whether machine memory is shared between threads. */
export const isShared = ({
  sharedMemory,
  controllerPlacement,
  smp = 'turns',
}: Pick<MachineOptions, 'controllerPlacement' | 'sharedMemory'> & { readonly smp?: unknown }): boolean =>
  sharedMemory === true || controllerPlacement !== undefined || smp !== 'turns'

/** The identifier of a machine that goes on from an earlier instant. */
export const generationAfter = ({
  generation,
  clock,
}: Pick<MachineOptions, 'generation' | 'clock'>): NonNullable<MachineGeneration['after']> =>
  generation?.after ?? (clock === 'deterministic' ? 'same' : 'new')
