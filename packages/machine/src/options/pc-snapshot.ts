import type { DomainVapicState, X86DomainState } from '@retrap/hvm'
import type { UsedInputs } from '../input/input-switch.ts'
import type { FirmwareAreaState } from '../firmware/firmware-area.ts'
import type { SmramState } from '../firmware/smram.ts'
import type { MachineSnapshot, MachineSnapshotSource, MachineState } from '../snapshot/snapshots.ts'

/** The options of a PC that a snapshot belongs to. The devices' options show in the devices' states. */
export interface PcSnapshotMachine {
  /** Guest RAM. */
  readonly memoryBytes: number
  /** The board. */
  readonly machine: string
  /** vCPUs. */
  readonly cpus: number
  /** The machine has system-management mode. */
  readonly smm: boolean
  /** Whether the first instruction comes from a kernel, firmware or flash. */
  readonly start: 'kernel' | 'firmware' | 'flash'
  /** Whether guest time follows the host's clock or the count of instructions. */
  readonly clock: 'real' | 'deterministic'
  /** Sizes of the media that were in its drives, in bytes, in the order of the options; 0: none was in. */
  readonly media: readonly number[]
  /** Numbers of the disks that were plugged in: a restored machine lists them after its other drives. */
  readonly plugged?: readonly number[] | undefined
}

/** All state of a PC except the contents of its RAM, as plain data. */
export interface PcSnapshotState extends MachineState<X86DomainState> {
  /** The machine's options that a restored machine must share. */
  readonly machine: PcSnapshotMachine
  /** The state of a deterministic machine's random numbers: the last number; null for the host's. */
  readonly random: number | null
  /** ROM and RAM below 1 MiB; null for a machine without firmware. */
  readonly firmwareArea: FirmwareAreaState | null
  /** Memory of system-management mode; null for none. */
  readonly smram: SmramState | null
  /** The TPR patcher; null for none. */
  readonly vapic: DomainVapicState | null
  /** Whether the next run wakes the machine from S3. */
  readonly woken: boolean
  /** The keyboards and mice that the guest uses. Absent from states of earlier releases. */
  readonly inputs?: UsedInputs | undefined
}

/** A PC as it was between two instructions. */
export interface PcSnapshot extends MachineSnapshot<PcSnapshotState> {}

/** A snapshot whose pages are read on demand, for example from a file. */
export interface PcSnapshotSource extends MachineSnapshotSource<PcSnapshotState> {}
