import type { AudioBackend } from '@retrap/device'
import type { MakeVcpuThreads } from '@retrap/hvm'
import { modelOf, type CpuModel, type JitOptions } from '@retrap/x86-cpu'
import type { StartBoardServer } from '../board/start.ts'
import type { MachineFlash } from '../firmware/flash.ts'
import type { OptionRom } from '../firmware/option-roms.ts'
import type { PcVapicOptions } from '../firmware/vapic.ts'
import type { BootModule, KernelImages } from '../loaders/index.ts'
import type { MachineType } from '../machine-type.ts'
import type { MachineOptions } from './machine-options.ts'
import type { PcSnapshot, PcSnapshotSource } from './pc-snapshot.ts'

/** Options of {@link createPc}. */
export interface PcOptions extends MachineOptions {
  /** The board: `pc` (default), an i440FX with a PIIX3, or `q35`, a Q35 with an ICH9 and PCI Express. */
  readonly machine?: MachineType | undefined
  /** System-management mode with SMRAM and SMIs, which UEFI firmware with Secure Boot needs; not with boards in another thread. Default false. */
  readonly smm?: boolean | undefined
  /** vCPUs, 1–128; default 1. */
  readonly cpus?: number | undefined
  /**
   * How several vCPUs execute: `turns` (default), all on this thread, or each in a thread of its own, at the same time on
   * the host's cores, from when the guest has started a second one: `vcpuThreads` of `@retrap/hvm/threads`.
   */
  readonly smp?: 'turns' | MakeVcpuThreads | undefined
  /**
   * A Linux bzImage, a PVH ELF or a multiboot image. It starts by itself, or from `firmware` or `flash` where they are
   * given: a BIOS needs the option ROM for it among `optionRoms`, by the name that `kernelRom` says.
   */
  readonly kernel?: Uint8Array | undefined
  /** Files for a multiboot or PVH kernel, behind the initrd, each with a text of its own. */
  readonly modules?: readonly BootModule[] | undefined
  /** A snapshot that `pc.save` of a machine with the same options returned; see {@link MachineOptions}. */
  readonly snapshot?: PcSnapshot | PcSnapshotSource | undefined
  /** A flat firmware image that ends at 4 GiB, started at the reset vector. */
  readonly firmware?: Uint8Array | undefined
  /**
   * Flash memories with firmware instead of an image of it, at most two, of 8 MiB together. The first ends at 4 GiB; the
   * second lies below and keeps the firmware's variables.
   */
  readonly flash?: readonly MachineFlash[] | undefined
  /** Receives the PC speaker's sound; default: the sound is discarded. */
  readonly speaker?: AudioBackend | undefined
  /**
   * The graphics card: `std`, which QEMU has by that name; `ramfb`, a picture in guest RAM, where firmware says by fw_cfg
   * (OVMF can); or `none`. Default `std` where firmware boots from `drives`, as boot loaders have menus on it; otherwise
   * `none`: a kernel would move its console to it.
   */
  readonly vga?: 'std' | 'ramfb' | 'none' | undefined
  /** Video BIOS of the graphics card, such as SeaVGABIOS; without it only guests with a driver for the card show a picture. */
  readonly vgaBios?: Uint8Array | undefined
  /**
   * Option ROMs of adapters, which the machine's firmware finds and initialises. Without firmware they are initialised
   * before the kernel starts, as a BIOS does. A ROM that uses the TPR patcher gets one.
   */
  readonly optionRoms?: readonly OptionRom[] | undefined
  /** Patch the task-priority accesses of 32-bit guests into calls of an option ROM: ours with `true`. */
  readonly vapic?: boolean | PcVapicOptions | undefined
  /** Serial ports, 1–4 (COM1 to COM4); default 1. The first is the console. */
  readonly serialPorts?: number | undefined
  /** Place where the board's models run; see {@link MachineOptions}. In a thread of their own `serveBoard` runs them. */
  readonly devicePlacement?: 'inline' | 'deferred' | StartBoardServer | undefined
  /** Effect of a triple fault: the machine ends with its registers (default), or is reset, as a PC is. */
  readonly tripleFault?: 'end' | 'reset' | undefined
  /** Called when the guest sleeps (S3), and when it has been woken. */
  readonly onSleep?: ((asleep: boolean) => void) | undefined
  /** Called once where the guest can only wait for ever, with a sentence that says why. */
  readonly onWarning?: ((warning: string) => void) | undefined
  /** Find device models that keep views of guest memory: `pc.domain.keptViews()`. Slow. */
  readonly checkMappings?: boolean | undefined
  /** Count how often each instruction form runs; see `X86Engine.executionCounts`. Slower. */
  readonly profile?: boolean | undefined
  /** Compile hot code to WebAssembly of its own, for speed; see `X86EngineOptions.jit`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /**
   * The processor: a model of `CPU_MODELS` with changes, such as `max` (default), `core2,-sse4_1` or `max,+la57`; see
   * `cpuModel` of `@retrap/x86-cpu`.
   */
  readonly cpu?: CpuModel | string | undefined
}

/** The processor: with system-management mode its state save area is the one that firmware for QEMU knows. */
export function processorOf({ cpu = 'max', smm }: PcOptions): CpuModel | string {
  return smm === true ? { ...modelOf(cpu), saveArea: 'amd' } : cpu
}

/** The kernel with its initrd, modules and command line, if the options have one. */
export function kernelImages({ kernel, initrd, modules, commandLine }: PcOptions): KernelImages | undefined {
  return kernel === undefined ? undefined : { kernel, initrd, modules, commandLine }
}

/** Whether the machine has no firmware: a kernel starts directly, or a snapshot resumes. */
export const startsDirectly = ({ firmware, flash }: PcOptions): boolean =>
  firmware === undefined && (flash?.length ?? 0) === 0
