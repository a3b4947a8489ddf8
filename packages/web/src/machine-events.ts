import type { GuestTrouble, MachineExit } from '@retrap/machine'
import type { RunPosition, TravelStop } from './debugger.ts'
import type { Progress } from './options.ts'
import type { MachineState } from './protocol.ts'

/** Listeners by event, with the type of each event's value. */
export class Listeners<Events extends object> {
  readonly #listeners: { [K in keyof Events]?: Set<(value: Events[K]) => void> } = {}

  /** @returns a function that removes the listener */
  add<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void {
    const all = (this.#listeners[event] ??= new Set())
    // A wrapper for each call, so that a listener that is added twice is called twice.
    const own = (value: Events[K]): void => listener(value)
    all.add(own)
    return () => void all.delete(own)
  }

  /** Calls all listeners of an event, even if one of them throws. */
  tell<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const listener of this.#listeners[event] ?? []) {
      try {
        listener(value)
      } catch (error) {
        reportError(error)
      }
    }
  }

  /** Forgets all listeners. */
  clear(): void {
    for (const event of Object.keys(this.#listeners) as (keyof Events)[]) delete this.#listeners[event]
  }
}

/** The events of a `Machine`. */
export interface MachineEvents {
  /** The machine runs, is paused, sleeps, or is off. */
  readonly state: MachineState
  /** The guest has ended the machine, or the host: `reason` says why. */
  readonly exit: MachineExit
  /** The guest has written to its serial port. */
  readonly serial: Uint8Array
  /** The machine continues from another instant, by `restore`: the end of its serial output at that instant. */
  readonly console: Uint8Array
  /** A further part of an image was loaded. */
  readonly progress: Progress
  /** A disk has failed for the guest, or a network refuses a connection, with the reason. */
  readonly warning: string
  /** The guest does not go on by itself: its kernel has panicked, as the serial port says, or no processor executes and none will. */
  readonly trouble: GuestTrouble
  /** The size of the picture has changed; 0 × 0: the display is off. */
  readonly resize: { readonly width: number; readonly height: number }
  /** The guest drives another kind of pointer. */
  readonly pointer: 'none' | 'relative' | 'absolute'
  /** The debugger has moved, or the machine has reached one of its stops. Only for a recorded machine. */
  readonly position: { readonly position: RunPosition; readonly stop: TravelStop | null }
}
