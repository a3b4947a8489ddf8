import type { JitOptions } from '@retrap/arm-cpu'
import type { DeviceModel } from '@retrap/device'
import type { DeviceFailure, FailurePolicy, IoTraceRecord } from '@retrap/ioreq'
import type { VirtioDevice } from '@retrap/virtio'
import type { PcFlash } from '../firmware/flash.ts'
import type { PcForks } from '../options/fork-room.ts'
import type { SamplingOptions } from '../life/sampling.ts'
import type { StartDeviceServer } from '../life/machine-life.ts'
import type { ArmPciOptions } from './devices.ts'
import type { Decompress } from './kernel-image.ts'
import type { StartArmBoardServer } from './placed-board.ts'
import type { ArmSnapshot, ArmSnapshotSource } from './snapshot.ts'

/** How an Arm machine is made. */
export interface ArmMachineOptions extends ArmPciOptions {
  /** Guest RAM in bytes: whole 4 KiB pages, 1 MiB to about 3.5 GiB. */
  readonly memoryBytes: number
  /** vCPUs, 1–64, or 1–8 with a GICv2; default 1. */
  readonly cpus?: number | undefined
  /** Version of the interrupt controller; default 3. */
  readonly gic?: 2 | 3 | undefined
  /**
   * A Linux Image, also compressed by gzip, or in an EFI image by gzip or zstd; or an ELF file for AArch64. With `flash` it is
   * an EFI program that the firmware starts.
   */
  readonly kernel?: Uint8Array | undefined
  /**
   * Flash memories with firmware, which starts first: the first holds it, the second its variables, each of 64 MiB or,
   * read-only, less.
   */
  readonly flash?: readonly PcFlash[] | undefined
  /** The kernel's initial RAM disk. */
  readonly initrd?: Uint8Array | undefined
  /** The kernel's command line, passed as it is given; default empty. */
  readonly commandLine?: string | undefined
  /** Decompresses zstd, such as Node's; absent: images compressed with it are refused. */
  readonly unzstd?: Decompress | undefined
  /** Devices of the virtio transports in memory, from the first on; default none. */
  readonly virtioMmio?: readonly VirtioDevice[] | undefined
  /** Models beside the board's own: PCI functions, and others. */
  readonly devices?: readonly DeviceModel[] | undefined
  /** Start further servers whose models live elsewhere; the machine ends them with `close`. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
  /**
   * Where models run: `inline` (default), straight from the instruction; `deferred`, where every access is answered in a
   * later turn of the event loop; or PCI Express host bridge, UART, clock, GPIO and fw_cfg in a thread of their own, which
   * this function starts and which runs `serveArmBoard`.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartArmBoardServer | undefined
  /** The policy for a device model that fails: the machine ends (default), or the model. */
  readonly devicePolicy?: FailurePolicy | undefined
  /** Milliseconds of host time that a device model may take for an answer; default as for a PC. */
  readonly deviceDeadlineMs?: number | undefined
  /** Called for device models that fail. */
  readonly onDeviceFailure?: ((failure: DeviceFailure) => void) | undefined
  /** Room for memory that device models own, in bytes; default 0, which leaves about 4 MiB. */
  readonly deviceMemoryBytes?: number | undefined
  /** Called for every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /** `real` (default) follows the host's clock; `deterministic` derives time from what the guest executes. */
  readonly clock?: 'real' | 'deterministic' | undefined
  /** On deterministic time a guest that waits for a timer waits as long for the host: see `HostPacing`. Default false. */
  readonly keepsPace?: boolean | undefined
  /** Wall-clock time at power-on, seconds from 1970; default the host's, or a fixed one where time is deterministic. */
  readonly epochSeconds?: number | undefined
  /** Bytes of the arena for decoded instructions. */
  readonly codeCacheBytes?: number | undefined
  /** Compile hot code to WebAssembly of its own, for speed; see `ArmEngineOptions.jit` of `@retrap/arm-cpu`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /** Take samples of what the guest executes: for profilers. */
  readonly sampling?: SamplingOptions | undefined
  /**
   * Goes on where a machine with the same options was saved, by its `save`, instead of starting. It needs no `kernel` then,
   * unless firmware has it.
   */
  readonly snapshot?: ArmSnapshot | ArmSnapshotSource | undefined
  /** Room in machine memory for clones (`machine.fork()`), which share the RAM that nobody writes. Default none. */
  readonly forks?: PcForks | undefined
  /** The hypervisor that the guest sees: `none` (default), or `xen` with its hypercalls, store and console. */
  readonly hypervisor?: 'none' | 'xen' | undefined
}

/** The options of an Arm clone's own, as in {@link ArmMachineOptions}. */
export interface ArmForkOptions extends Pick<
  ArmMachineOptions,
  | 'devices'
  | 'virtio'
  | 'virtioMmio'
  | 'networkCards'
  | 'usb'
  | 'sound'
  | 'keyboard'
  | 'mouse'
  | 'screen'
  | 'onDeviceFailure'
  | 'trace'
> {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
}
