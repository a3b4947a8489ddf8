import type { Simulation } from './simulation.ts'
import type { ClusterDisk } from './disk.ts'
import type { Fault } from './faults.ts'

/** The faults that a guest makes to itself. */
export type GuestFault = 'full' | 'memory' | 'drift'

const OF_GUEST: readonly string[] = ['full', 'memory', 'drift'] satisfies GuestFault[]

/** The part of a guest that its faults need. */
interface FaultyGuest {
  turnClock(ns: number): void
  disturb(kind: GuestFault, amount: number): void
}

/** The faults of machines, and of their disks, that last at present: all but those that end a machine. */
export class MachineFaults {
  readonly #simulation: Simulation
  readonly #guests: ReadonlyMap<number, FaultyGuest>
  readonly #disks: ReadonlyMap<number, ClusterDisk>
  readonly #all = new Set<{ readonly fault: Fault; readonly number: number }>()

  constructor(
    simulation: Simulation,
    guests: ReadonlyMap<number, FaultyGuest>,
    disks: ReadonlyMap<number, ClusterDisk>,
  ) {
    this.#simulation = simulation
    this.#guests = guests
    this.#disks = disks
  }

  /** A fault of a machine begins. @returns ends it */
  async begin(fault: Fault, number: number): Promise<() => Promise<void> | void> {
    const { kind, amount = 0 } = fault
    // The clock of a machine that hangs stands still from now on, and not since it had nothing to do.
    await this.#simulation.bring(number)
    if (kind === 'hang') {
      this.#simulation.hang(number, fault.for)
      return () => undefined
    }
    const guest = this.#guests.get(number)
    if (kind === 'clock') {
      guest?.turnClock(amount)
      // A machine that was started again has the right time.
      return () => (this.#guests.get(number) === guest ? guest?.turnClock(-amount) : undefined)
    }
    if (kind === 'stall') this.#disks.get(number)?.stall(fault.for)
    const active = { fault, number }
    this.#all.add(active)
    this.#apply(kind, number)
    return async () => {
      await this.#simulation.bring(number)
      this.#all.delete(active)
      if (kind === 'stall') this.#disks.get(number)?.stall(0)
      this.#apply(kind, number)
    }
  }

  /** A machine has started: what lasts still is of it, too. */
  started(number: number): void {
    const kinds = [...this.#all].filter((one) => one.number === number).map(({ fault }) => fault.kind)
    for (const kind of new Set(kinds)) this.#apply(kind, number)
  }

  #apply(kind: Fault['kind'], number: number): void {
    const amounts = (wanted: Fault['kind']): number[] =>
      [...this.#all].flatMap(({ fault, number: of }) =>
        of === number && fault.kind === wanted ? [fault.amount ?? 1] : [],
      )
    if (kind === 'slow-cpu') this.#simulation.slow(number, Math.min(1, ...amounts(kind)))
    else if (OF_GUEST.includes(kind))
      this.#guests.get(number)?.disturb(kind as GuestFault, Math.max(0, ...amounts(kind)))
    else
      this.#disks.get(number)?.trouble({
        eio: Math.max(0, ...amounts('eio')),
        flushNs: Math.max(0, ...amounts('slow-fsync')),
        losesFlushes: amounts('lost-fsync').length > 0,
      })
  }
}
