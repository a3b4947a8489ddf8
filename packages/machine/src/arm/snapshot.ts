import type { GuestPages, GuestPageSource } from '@retrap/hvm'
import type { ArmDomain, ArmDomainState } from '@retrap/hvm/arm'
import type { PcDrive } from '../options/drives.ts'
import { type InputSwitches, restoreInputs, saveInputs, type UsedInputs } from '../input/input-switch.ts'
import type { RandomSource } from '../life/host.ts'
import type { BoardState } from '../snapshot/snapshots.ts'

/** The options of an Arm machine that a snapshot belongs to. Those of its devices show in the devices' states. */
export interface ArmSnapshotMachine {
  /** The board. */
  readonly machine: 'virt'
  /** Guest RAM. */
  readonly memoryBytes: number
  /** vCPUs. */
  readonly cpus: number
  /** Version of the interrupt controller. */
  readonly gic: 2 | 3
  /** Where its first instruction comes from. */
  readonly start: 'kernel' | 'flash'
  /** How its time passes. */
  readonly clock: 'real' | 'deterministic'
  /** Sizes of the media that were in its drives, in bytes, in the order of the options; 0: none was in. */
  readonly media: readonly number[]
}

/** All of an Arm machine but the contents of its RAM: plain data. */
export interface ArmSnapshotState {
  /** Version of this shape. */
  readonly version: 1
  /** Of which machine it is. */
  readonly machine: ArmSnapshotMachine
  /** Processors, interrupt controller, timers, devices and time. */
  readonly domain: ArmDomainState
  /** The sequence of a deterministic machine's random numbers: the last one; null for the host's. */
  readonly random: number | null
  /** The keyboards and mice that the guest uses. Absent from states of earlier releases. */
  readonly inputs?: UsedInputs | undefined
}

/** An Arm machine as it was between two instructions. */
export interface ArmSnapshot {
  /** Everything else. */
  readonly state: ArmSnapshotState
  /** The contents of RAM. */
  readonly pages: GuestPages
}

/** A snapshot whose pages may be read when they are needed, as from a file. */
export interface ArmSnapshotSource {
  /** Everything else. */
  readonly state: ArmSnapshotState
  /** The contents of RAM. */
  readonly pages: GuestPages | GuestPageSource
}

/** The parts of an Arm machine that a snapshot has. */
export interface ArmSnapshotParts {
  readonly domain: ArmDomain
  readonly options: {
    readonly memoryBytes: number
    readonly cpus?: number | undefined
    readonly gic?: 2 | 3 | undefined
    readonly flash?: readonly unknown[] | undefined
    readonly clock?: 'real' | 'deterministic' | undefined
  }
  readonly random: RandomSource
  /** With the media that are in them now. */
  readonly drives: readonly PcDrive[]
  /** Where input goes. */
  readonly inputs: InputSwitches
}

/** Returns a snapshot's description of the machine that options make. */
function machineOf({ options, drives }: ArmSnapshotParts): ArmSnapshotMachine {
  return {
    machine: 'virt',
    memoryBytes: options.memoryBytes,
    cpus: options.cpus ?? 1,
    gic: options.gic ?? 3,
    start: (options.flash ?? []).length > 0 ? 'flash' : 'kernel',
    clock: options.clock ?? 'real',
    media: drives.map(({ medium }) => medium?.properties.bytes ?? 0),
  }
}

/** The part of an Arm machine's state that is not its domain's. @param parts - returns the machine's parts as they are now */
export function armState(parts: () => ArmSnapshotParts): BoardState<ArmDomainState, ArmSnapshotState> {
  const { domain } = parts()
  return {
    domain,
    save() {
      const here = parts()
      return {
        version: 1,
        machine: machineOf(here),
        random: here.random.save(),
        inputs: saveInputs(here.inputs),
      }
    },
    putBackMap: (state) => restoreInputs(parts().inputs, state.inputs),
    putBackRest: (state) => parts().random.restore(state.random),
  }
}
