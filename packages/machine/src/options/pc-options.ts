import type { AudioBackend, DeviceModel } from '@retrap/device'
import type { Keyboard, Mouse, Screen } from '@retrap/display'
import type { DeviceFailure, FailurePolicy, IoTraceRecord } from '@retrap/ioreq'
import { cpuModel, type CpuModel, type JitOptions } from '@retrap/x86-cpu'
import type { PcBootOptions, PcDrive } from './drives.ts'
import type { PcForks } from './fork-room.ts'
import type { PcFlash } from '../firmware/flash.ts'
import type { BootModule, KernelImages } from '../loaders/index.ts'
import type { MachineType } from '../machine-type.ts'
import type { OptionRom } from '../firmware/option-roms.ts'
import type { StartBoardServer, StartControllerServer } from '../board/start.ts'
import type { StartDeviceServer } from '../life/machine-life.ts'
import type { SamplingOptions } from '../life/sampling.ts'
import type { PcSnapshot, PcSnapshotSource } from './pc-snapshot.ts'
import type { PcUsb, PcRootPort, PcSoundDevice } from './pci-options.ts'
import type { PcVapicOptions } from '../firmware/vapic.ts'
import type { PcNetworkCard } from './network-card.ts'
import type { PcVirtioDevice } from './virtio-device.ts'

/** How a PC is made. */
export interface PcOptions {
  /** Guest RAM in bytes: whole 4 KiB pages, 1 MiB to about 3.5 GiB. */
  readonly memoryBytes: number
  /** The board: `pc` (default), an i440FX with a PIIX3, or `q35`, a Q35 with an ICH9 and PCI Express. */
  readonly machine?: MachineType | undefined
  /** System-management mode with SMRAM and SMIs, which UEFI firmware with Secure Boot needs; not with boards in another thread. Default false. */
  readonly smm?: boolean | undefined
  /** vCPUs, 1–128; default 1. */
  readonly cpus?: number | undefined
  /**
   * A Linux bzImage, a PVH ELF or a multiboot image. It starts by itself, or from `firmware` or `flash` where they are
   * given: a BIOS needs the option ROM for it among `optionRoms`, by the name that `kernelRom` says.
   */
  readonly kernel?: Uint8Array | undefined
  /** The kernel’s initial RAM disk, or the first module. */
  readonly initrd?: Uint8Array | undefined
  /** Files for a multiboot or PVH kernel, behind the initrd, each with a text of its own. */
  readonly modules?: readonly BootModule[] | undefined
  /** The kernel’s command line, passed as it is given; default empty. A multiboot kernel expects its file's name first. */
  readonly commandLine?: string | undefined
  /**
   * Goes on where a machine with the same options was saved by `pc.save`, whose kernel is not needed then; default: the
   * machine is powered on. On the host's clock up to 72 seconds of what has passed since then pass for the guest too, in pauses of
   * 18 seconds, so that Linux seeds its random numbers anew; not where `generation` has `after: 'same'`.
   */
  readonly snapshot?: PcSnapshot | PcSnapshotSource | undefined
  /**
   * A device (VM Generation ID) that tells the guest that it goes on from an earlier instant, as a clone does: Linux then seeds
   * its random numbers anew. Default none.
   */
  readonly generation?: PcGeneration | undefined
  /** Room in machine memory for clones (`pc.fork()`), which share the RAM that nobody writes. Default none. */
  readonly forks?: PcForks | undefined
  /** A flat firmware image that ends at 4 GiB, started at the reset vector. */
  readonly firmware?: Uint8Array | undefined
  /**
   * Flash memories with firmware instead of an image of it, at most two, of 8 MiB together. The first ends at 4 GiB; the
   * second lies below and keeps the firmware's variables.
   */
  readonly flash?: readonly PcFlash[] | undefined
  /**
   * Disks and CD drives: at most four of an IDE controller, or six of the SATA controller of a `q35`, which the machine
   * has only for them; virtio disks, NVMe drives, and drives of a SCSI controller.
   */
  readonly drives?: readonly PcDrive[] | undefined
  /** Further virtio devices, each on the PCI bus. */
  readonly virtio?: readonly PcVirtioDevice[] | undefined
  /** Root ports of PCI Express, with machine `q35`; a device on the PCI bus is behind one by `port`, and `pc.plug` plugs one in while the machine runs. */
  readonly rootPorts?: readonly PcRootPort[] | undefined
  /** Sound devices, each on the PCI bus. */
  readonly sound?: readonly PcSoundDevice[] | undefined
  /** Gets what the PC speaker plays; default: it is discarded. */
  readonly speaker?: AudioBackend | undefined
  /** Network cards that are not virtio devices, each on the PCI bus. */
  readonly networkCards?: readonly PcNetworkCard[] | undefined
  /** A USB controller (xHCI) with what is plugged into it, beside the drives of `interface: 'usb'`. */
  readonly usb?: PcUsb | undefined
  /** The devices that firmware boots from. */
  readonly boot?: PcBootOptions | undefined
  /**
   * The graphics card: `std`, which QEMU has by that name; `ramfb`, a picture in guest RAM, where firmware says by fw_cfg
   * (OVMF can); or `none`. Default `std` where firmware boots from `drives`, as
   * boot loaders have menus there; otherwise `none`: a kernel would move its console to it.
   */
  readonly vga?: 'std' | 'ramfb' | 'none' | undefined
  /** Video BIOS of the graphics card, such as SeaVGABIOS; without it only what knows the card by itself has a picture. */
  readonly vgaBios?: Uint8Array | undefined
  /**
   * The mode that the graphics card's monitor says it prefers, by EDID: drivers and firmware choose it. From 320 by 200 to
   * 2560 by 1600; null: the monitor says nothing, and the card has no BAR 2, where a video BIOS started by U-Boot would fail.
   * Default 1280 by 800, as QEMU's.
   */
  readonly preferredMode?: { readonly width: number; readonly height: number } | null | undefined
  /** The screen that the graphics card's picture is shown on; default a screen of its own, `pc.screen`. */
  readonly screen?: Screen | undefined
  /**
   * Adapters' firmware: firmware of the machine finds and initialises it; without any, and where a kernel is given, it is
   * initialised as a BIOS would before the kernel starts. A TPR patcher is there for one that wants it.
   */
  readonly optionRoms?: readonly OptionRom[] | undefined
  /** Patch the task-priority accesses of 32-bit guests into calls of an option ROM: ours with `true`. */
  readonly vapic?: boolean | PcVapicOptions | undefined
  /** The hypervisor that the guest sees: `none` (default), or `xen` with its hypercalls, store, console and platform device. */
  readonly hypervisor?: 'none' | 'xen' | undefined
  /** Serial ports, 1–4 (COM1 to COM4); default 1. The first is the console. */
  readonly serialPorts?: number | undefined
  /** The machine's keyboard; default one of its own with the layout `us`. A keyboard can go on to another machine. */
  readonly keyboard?: Keyboard | undefined
  /** The machine's mouse; default one of its own. */
  readonly mouse?: Mouse | undefined
  /** Models beside the board's own. */
  readonly devices?: readonly DeviceModel[] | undefined
  /**
   * Where the board's models run: `inline` (default), straight from the instruction; `deferred`, where every access is
   * answered in a later turn of the event loop; or in a thread of their own, which this starts. Models of `devices` are
   * in this thread either way.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartBoardServer | undefined
  /**
   * Where controllers of disks (IDE, SATA, virtio, NVMe, SCSI) and network cards run: in this thread (default), or in one of
   * their own, which this starts, with `serveControllers` in it. Media and networks stay here. The machine's memory is shared
   * then. Not with deterministic time, Xen or root ports.
   */
  readonly controllerPlacement?: StartControllerServer | undefined
  /** Room for memory that device models own, such as a frame buffer, in bytes; default 0, which leaves about 4 MiB. */
  readonly deviceMemoryBytes?: number | undefined
  /** Start further servers whose models live elsewhere; the machine ends them with `close`. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
  /** The policy for a device model that fails: the machine ends (default), or the model. */
  readonly devicePolicy?: FailurePolicy | undefined
  /**
   * Milliseconds of host time that a device model may take for an answer; `Infinity`: for ever. Default for ever on the
   * real clock, 30 seconds on the deterministic one, where the whole machine waits meanwhile.
   */
  readonly deviceDeadlineMs?: number | undefined
  /** Told that the guest sleeps (S3), and that it has been woken. */
  readonly onSleep?: ((asleep: boolean) => void) | undefined
  /** Called for device models that fail. */
  readonly onDeviceFailure?: ((failure: DeviceFailure) => void) | undefined
  /** Called once where the guest can only wait for ever, with a sentence that says why. */
  readonly onWarning?: ((warning: string) => void) | undefined
  /**
   * Puts the machine into shared memory, so that device models in Workers can map the guest's: what
   * `platform.sharedMemory` has is for `openGuestMemory` of `@retrap/hvm`.
   */
  readonly sharedMemory?: boolean | undefined
  /** Find device models that keep views of guest memory: `pc.domain.keptViews()`. Slow. */
  readonly checkMappings?: boolean | undefined
  /** Called for every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /** `real` (default) follows the host's clock; `deterministic` derives time from what the guest executes. */
  readonly clock?: 'real' | 'deterministic' | undefined
  /** On deterministic time a guest that waits for a timer waits as long for the host: see `HostPacing`. Default false. */
  readonly keepsPace?: boolean | undefined
  /** Wall-clock time at power-on, seconds from 1970; default the host's, or a fixed one where time is deterministic. */
  readonly epochSeconds?: number | undefined
  /** Bytes of the arena for decoded instructions, 64 KiB or more. */
  readonly codeCacheBytes?: number | undefined
  /** Count how often each instruction form runs; see `X86Engine.executionCounts`. Slower. */
  readonly profile?: boolean | undefined
  /** Take samples of what the guest executes, for a profile; default none. */
  readonly sampling?: SamplingOptions | undefined
  /** Compile hot code to WebAssembly of its own, for speed; see `X86EngineOptions.jit`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /**
   * The processor: a model of `CPU_MODELS` with changes, such as `max` (default), `core2,-sse4_1` or `max,+la57`; see
   * `cpuModel` of `@retrap/x86-cpu`.
   */
  readonly cpu?: CpuModel | string | undefined
}

/** How the device for `PcOptions.generation` goes on. */
export interface PcGeneration {
  /**
   * The identifier after a fork, a restore and a reset: a `new` one, which the guest is told of (default on the host's clock), or
   * the `same` (default where time is deterministic, as the machine then goes on exactly as it did). A whole number of 32 bits
   * on deterministic time stands for a new one that it decides, with all random numbers after it: clones get a number each.
   */
  readonly after?: 'new' | 'same' | number | undefined
}

/** The processor: with system-management mode its state save area is the one that firmware for QEMU knows. */
export function processorOf({ cpu = 'max', smm }: PcOptions): CpuModel | string {
  return smm === true ? { ...(typeof cpu === 'string' ? cpuModel(cpu) : cpu), saveArea: 'amd' } : cpu
}

/** The kernel and what belongs to it, where there is one. */
export function kernelImages({ kernel, initrd, modules, commandLine }: PcOptions): KernelImages | undefined {
  return kernel === undefined ? undefined : { kernel, initrd, modules, commandLine }
}

/** Whether there is no firmware: a kernel starts by itself, or its machine goes on. */
export const startsDirectly = ({ firmware, flash }: PcOptions): boolean =>
  firmware === undefined && (flash?.length ?? 0) === 0
