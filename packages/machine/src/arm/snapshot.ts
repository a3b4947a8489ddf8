import type { ArmDomain, ArmDomainState } from '@retrap/hvm/arm'
import { type InputSwitches, restoreInputs, saveInputs, type UsedInputs } from '../input/input-switch.ts'
import type { RandomSource } from '../lifecycle/host.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { BoardState, MachineSnapshot, MachineSnapshotSource, MachineState } from '../snapshot/snapshots.ts'

/** The options of an Arm machine that a snapshot belongs to. The devices' options show in the devices' states. */
export interface ArmSnapshotMachine {
  /** The board. */
  readonly machine: 'virt'
  /** Guest RAM. */
  readonly memoryBytes: number
  /** vCPUs. */
  readonly cpus: number
  /** Version of the interrupt controller. */
  readonly gic: 2 | 3
  /** Whether the first instruction comes from a kernel or from flash. */
  readonly start: 'kernel' | 'flash'
  /** Whether guest time follows the host's clock or the count of instructions. */
  readonly clock: 'real' | 'deterministic'
  /** Sizes of the media that were in its drives, in bytes, in the order of the options; 0: none was in. */
  readonly media: readonly number[]
  /** Sizes of the media of disks that were plugged in and are still present; absent: there are none. */
  readonly plugged?: readonly number[] | undefined
}

/** All of an Arm machine but the contents of its RAM: plain data. */
export interface ArmSnapshotState extends MachineState<ArmDomainState> {
  /** The machine's options that a restored machine must share. */
  readonly machine: ArmSnapshotMachine
  /** The state of a deterministic machine's random numbers: the last number; null for the host's. */
  readonly random: number | null
  /** The keyboards and mice that the guest uses. Absent from states of earlier releases. */
  readonly inputs?: UsedInputs | undefined
}

/** An Arm machine as it was between two instructions. */
export interface ArmSnapshot extends MachineSnapshot<ArmSnapshotState> {}

/** A snapshot whose pages are read on demand, for example from a file. */
export interface ArmSnapshotSource extends MachineSnapshotSource<ArmSnapshotState> {}

type SavedOptions = MachineOptions & { readonly gic?: 2 | 3 | undefined }

/** Returns a snapshot's description of the machine that options make. */
function machineOf(options: SavedOptions): ArmSnapshotMachine {
  return {
    machine: 'virt',
    memoryBytes: options.memoryBytes,
    cpus: options.cpus ?? 1,
    gic: options.gic ?? 3,
    start: (options.flash ?? []).length > 0 ? 'flash' : 'kernel',
    clock: options.clock ?? 'real',
    media: (options.drives ?? []).map(({ medium }) => medium?.properties.bytes ?? 0),
  }
}

/**
 * The part of an Arm machine's state that is not its domain's.
 *
 * @param options - with the media that are in the drives now
 * @param plugged - returns the sizes of the media of disks that were plugged in
 */
export function armState(
  domain: ArmDomain,
  options: SavedOptions,
  random: RandomSource,
  inputs: () => InputSwitches,
  plugged: () => readonly number[],
): BoardState<ArmDomainState, ArmSnapshotState> {
  const machine = (): ArmSnapshotMachine => {
    const bytes = plugged()
    return { ...machineOf(options), ...(bytes.length > 0 && { plugged: bytes }) }
  }
  return {
    domain,
    save: () => ({ version: 1, machine: machine(), random: random.save(), inputs: saveInputs(inputs()) }),
    putBackMap: (state) => restoreInputs(inputs(), state.inputs),
    putBackRest: (state) => random.restore(state.random),
  }
}
