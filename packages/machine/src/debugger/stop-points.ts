import type { CpuStop, DebuggedCpu, MachineWatchKind } from './debugged-cpu.ts'
import { isAtPlace, isSameException, type MachinePlace, setPlace } from './stop-places.ts'

/** Why a machine stopped for its debugger. `pause`: a pause was requested. */
export type MachineStop = (CpuStop | { readonly kind: 'pause' }) & {
  /** The number of the stopped vCPU. */
  readonly cpu: number
}

/** Handles a stop. The machine resumes when the handler has returned, unless the result is `'stay'`. */
export type StopHandler = (stop: MachineStop) => unknown

/** A breakpoint or watchpoint that can be taken away. */
export interface Removable {
  /** Takes the breakpoint away. */
  remove(): void
}

interface Stopper {
  readonly handler: StopHandler | undefined
}

interface Watch extends Stopper {
  readonly address: bigint
  readonly length: number
  readonly kind: MachineWatchKind
}

interface Place extends Stopper {
  readonly place: MachinePlace
}

/** The places at which a machine stops, and their handlers. */
export class StopPoints {
  readonly #cpus: readonly DebuggedCpu[]
  readonly #breakpoints = new Map<bigint, Set<Stopper>>()
  readonly #watches = new Set<Watch>()
  readonly #places = new Set<Place>()
  readonly #caught = new Map<number, Removable>()

  constructor(cpus: readonly DebuggedCpu[]) {
    this.#cpus = cpus
  }

  /** Returns the handlers of a stop; empty if one place has no handler, which stops the machine permanently. */
  handlersOf(stop: MachineStop): readonly StopHandler[] {
    const handlers = this.#stoppersOf(stop).map(({ handler }) => handler)
    return handlers.includes(undefined) ? [] : (handlers as StopHandler[])
  }

  #stoppersOf(stop: MachineStop): readonly Stopper[] {
    switch (stop.kind) {
      case 'breakpoint':
        return [...(this.#breakpoints.get(stop.address) ?? [])]
      case 'watch':
        return [...this.#watches].filter(({ address, length, kind }) => {
          return kind === stop.watch && stop.address >= address && stop.address < address + BigInt(length)
        })
      case 'port':
      case 'mmio':
      case 'msr':
      case 'handler':
      case 'fault':
      case 'exception':
        return [...this.#places].filter(({ place }) => isAtPlace(place, stop))
      default:
        return []
    }
  }

  /** See `MachineDebugger.breakpoint`. */
  breakpoint(address: bigint, handler: StopHandler | undefined): Removable {
    const stopper: Stopper = { handler }
    const here = this.#breakpoints.get(address) ?? new Set()
    if (here.size === 0) for (const each of this.#cpus) each.addBreakpoint(address)
    this.#breakpoints.set(address, here.add(stopper))
    return {
      remove: () => {
        if (!here.delete(stopper) || here.size > 0) return
        this.#breakpoints.delete(address)
        for (const each of this.#cpus) each.removeBreakpoint(address)
      },
    }
  }

  /** See `MachineDebugger.watch`. */
  watch(address: bigint, length: number, kind: MachineWatchKind, handler: StopHandler | undefined): Removable {
    for (const each of this.#cpus) each.addWatchpoint(address, length, kind)
    const watch: Watch = { address, length, kind, handler }
    this.#watches.add(watch)
    return {
      remove: () => {
        if (!this.#watches.delete(watch)) return
        for (const each of this.#cpus) each.removeWatchpoint(address, length, kind)
      },
    }
  }

  /** See `MachineDebugger.stopAt`. */
  stopAt(place: MachinePlace, handler: StopHandler | undefined): Removable {
    const added: Place = { place, handler }
    setPlace(this.#cpus, place, true)
    this.#places.add(added)
    return {
      remove: () => {
        if (!this.#places.delete(added)) return
        // A processor knows an exception once, however many want it.
        const isWanted = [...this.#places].some(({ place: other }) => isSameException(place, other))
        if (!isWanted) setPlace(this.#cpus, place, false)
      },
    }
  }

  /** See `MachineDebugger.caughtFaults`. */
  get caughtFaults(): readonly number[] {
    return [...this.#caught.keys()].toSorted((a, b) => a - b)
  }

  /** See `MachineDebugger.catchFault`. */
  catchFault(number: number, caught: boolean): void {
    const former = this.#caught.get(number)
    if (caught) this.#caught.set(number, former ?? this.stopAt({ kind: 'fault', vector: number }, undefined))
    else if (this.#caught.delete(number)) former?.remove()
  }
}
