import type { JitOptions } from '@retrap/arm-cpu'
import type { VirtioDevice } from '@retrap/virtio'
import type { MachineFlash } from '../firmware/flash.ts'
import type { MachineForkOptions, MachineOptions } from '../options/machine-options.ts'
import type { Decompress } from './kernel-image.ts'
import type { ArmDeviceNode } from './layout.ts'
import type { StartArmBoardServer } from './placed-board.ts'
import type { ArmSnapshot, ArmSnapshotSource } from './snapshot.ts'

/** Options of {@link createArmMachine}. */
export interface ArmMachineOptions extends MachineOptions {
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
  readonly flash?: readonly MachineFlash[] | undefined
  /** Decompresses zstd, such as Node's; absent: images compressed with it are refused. */
  readonly unzstd?: Decompress | undefined
  /**
   * Devices of the caller's in the device tree, so that a driver is found: at 0xb000000–0xfffffff, with SPIs 112–255. The models
   * that answer there are in `devices` or `deviceServers`. Default none.
   */
  readonly deviceNodes?: readonly ArmDeviceNode[] | undefined
  /** Devices of the virtio transports in memory, from the first on; default none. */
  readonly virtioMmio?: readonly VirtioDevice[] | undefined
  /**
   * Where models run; see {@link MachineOptions}. In a thread of their own are PCI Express host bridge, UART, clock, GPIO and
   * fw_cfg, which `serveArmBoard` runs.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartArmBoardServer | undefined
  /** Compile hot code to WebAssembly of its own, for speed; see `ArmEngineOptions.jit` of `@retrap/arm-cpu`. Default false. */
  readonly jit?: boolean | JitOptions | undefined
  /** A snapshot that `save` of a machine with the same options returned; see {@link MachineOptions}. */
  readonly snapshot?: ArmSnapshot | ArmSnapshotSource | undefined
}

/** The options of an Arm clone's own, as in {@link ArmMachineOptions}. */
export interface ArmForkOptions extends MachineForkOptions, Pick<ArmMachineOptions, 'virtioMmio'> {}
