import type { DeviceContext } from '@retrap/device'
import type { AtaDrive, DriveStep } from '../ata/drive.ts'
import type { MediumRequestsState } from '../ata/medium-requests.ts'
import type { DataTableState } from './data-table.ts'
import type { PortRegisters } from './port-registers.ts'
import type { QueuedTransferState } from './queued-transfers.ts'

/** A command that the drive executes by itself. */
export interface Running {
  readonly slot: number
  /** The command is of a queue: its end is told by Set Device Bits. */
  readonly queued: boolean
  /** Guest-physical address of its header. */
  readonly header: number
  /** Guest-physical address of its table. */
  readonly table: number
  /** Its first transfer is of the packet. */
  readonly packet: boolean
}

/** Saved form of `CommandSlots`. */
export interface CommandSlotsState {
  /** Slots of queued commands that the drive has accepted, in order. */
  readonly queue: readonly number[]
  /** A queued command that is to be executed by itself; −1 or absent: there is none. */
  readonly alone?: number
  /** The command `alone` has failed while others were under way. */
  readonly failed?: boolean
}

/** Saved form of a {@link CommandList}. */
export interface CommandListState extends CommandSlotsState {
  readonly running: Running | null
  readonly step: DriveStep
  readonly table: DataTableState
  readonly requests: MediumRequestsState | null
  readonly resetting: boolean
  /** Queued commands that the medium has at the same time. */
  readonly transfers?: readonly QueuedTransferState[]
  /** The error log of the queued command that has failed. */
  readonly errorLog: Uint8Array | null
}

/** The part of a port that its commands need. */
export interface CommandListParts {
  readonly context: DeviceContext
  readonly drive: AtaDrive | null
  readonly registers: PortRegisters
  /** Whether the function may read and write memory: its bus master bit. */
  readonly mayMaster: () => boolean
  /** Has the drive tell what it is, after a reset by software. */
  readonly greet: () => void
}
