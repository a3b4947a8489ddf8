import type { ArmDomainState } from '@retrap/hvm/arm'
import type { GuestPages, GuestPageSource } from '@retrap/hvm'

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
