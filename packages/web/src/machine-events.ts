import type { MachineExit } from '@retrap/machine'
import type { RunPosition, TravelStop } from './debugger.ts'
import type { Progress } from './options.ts'
import type { MachineState } from './protocol.ts'

/** The events of a `Machine`. */
export interface MachineEvents {
  /** The machine runs, is paused, sleeps, or is off. */
  readonly state: MachineState
  /** The guest has ended the machine, or something else has: `reason` says why. */
  readonly exit: MachineExit
  /** The guest has written to its serial port. */
  readonly serial: Uint8Array
  /** The machine goes on from another instant, by `restore`: the end of what its serial port had printed by then. */
  readonly console: Uint8Array
  /** More of an image has come. */
  readonly progress: Progress
  /** A disk has failed for the guest, or a network refuses a connection, with the reason. */
  readonly warning: string
  /** The size of the picture has changed; 0 × 0: the display is off. */
  readonly resize: { readonly width: number; readonly height: number }
  /** The guest drives another kind of pointer. */
  readonly pointer: 'none' | 'relative' | 'absolute'
  /** The debugger has gone elsewhere, or the machine has come to one of its stops. Of a machine whose run is recorded. */
  readonly position: { readonly position: RunPosition; readonly stop: TravelStop | null }
}
