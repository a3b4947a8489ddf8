import type { Simulation } from './simulation.ts'
import type { ClusterDisk } from './disk.ts'
import type { Fault } from './faults.ts'
import type { Links, LinkTrouble } from './links.ts'

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

/** The faults of links that last at present. Several of one link add up. */
export class LinkFaults {
  readonly #links: Links
  readonly #names: readonly string[]
  readonly #all = new Set<Fault>()

  /** @param names - of the machines, in their order */
  constructor(links: Links, names: readonly string[]) {
    this.#links = links
    this.#names = names
  }

  /** A fault begins. */
  begin(fault: Fault): void {
    this.#all.add(fault)
    this.#apply()
  }

  /** A fault ends, if it lasts still. */
  end(fault: Fault): void {
    if (this.#all.delete(fault)) this.#apply()
  }

  #apply(): void {
    for (const [from, one] of this.#names.entries())
      for (const [to, other] of this.#names.entries()) {
        const faults = [...this.#all].filter((fault) => concerns(fault, one, other))
        this.#links.cut(
          from,
          to,
          faults.some(({ kind }) => kind === 'partition'),
        )
        this.#links.trouble(from, to, troubleOf(faults))
      }
  }
}

function concerns({ kind, cut, machines }: Fault, from: string, to: string): boolean {
  if (kind === 'partition') return cut?.includes(`${from}>${to}`) === true
  return machines === undefined || machines.includes(from) || machines.includes(to)
}

function troubleOf(faults: readonly Fault[]): LinkTrouble {
  const amounts = (kind: Fault['kind']): number[] =>
    faults.flatMap((fault) => (fault.kind === kind ? [fault.amount ?? 0] : []))
  // Each by itself spares a part.
  const any = (kind: Fault['kind']): number => 1 - amounts(kind).reduce((spared, amount) => spared * (1 - amount), 1)
  return {
    ...{ loss: any('loss'), duplicate: any('duplicate'), reorder: any('reorder'), corrupt: any('corrupt') },
    delayNs: amounts('delay').reduce((sum, amount) => sum + amount, 0),
  }
}
