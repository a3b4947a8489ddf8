import type { Simulation } from './simulation.ts'
import type { ClusterDisk } from './disk.ts'
import type { Fault, GuestFault } from './faults.ts'
import type { ClusterGuest } from './host.ts'
import type { Links, LinkTrouble } from './links.ts'

const OF_GUEST: readonly string[] = ['full', 'memory', 'drift'] satisfies GuestFault[]

/** The largest part of the time by which a clock can be fast: Linux takes no more. Source: Linux, kernel/time/ntp.c, `ntp_validate_timex`. */
export const MOST_DRIFT = 0.1

/** The part of a guest that its faults need. */
type FaultyGuest = Pick<ClusterGuest, 'now' | 'turnClock' | 'disturb'>

/**
 * A clock that may drift: the part of the time by which it is fast, and what it has gained until an instant of the machine's time. `offset` is
 * the cluster's time less the machine's when the clock was right: the difference grows while the machine stands still.
 */
type DriftingClock = Record<'drift' | 'gained' | 'until' | 'offset', number>

/** The faults of machines, and of their disks, that last at present: all but those that end a machine. */
export class MachineFaults {
  readonly #simulation: Simulation
  readonly #guests: ReadonlyMap<number, FaultyGuest>
  readonly #disks: ReadonlyMap<number, ClusterDisk>
  readonly #all = new Set<{ readonly fault: Fault; readonly number: number }>()
  readonly #clocks = new Map<number, DriftingClock>()

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

  /** A machine has started: its clock is right, and faults that last still are of it, too. */
  started(number: number): void {
    const until = this.#guests.get(number)!.now()
    this.#clocks.set(number, { drift: 0, gained: 0, until, offset: this.#simulation.offsetOf(number) })
    const kinds = [...this.#all].filter((one) => one.number === number).map(({ fault }) => fault.kind)
    for (const kind of new Set(kinds)) this.#apply(kind, number)
  }

  /** Takes back what clocks have gained by drift, or lost while their machines stood still. No fault lasts. */
  async mendClocks(): Promise<void> {
    for (const [number, guest] of this.#guests) {
      // oxlint-disable-next-line no-await-in-loop -- in their order
      await this.#simulation.bring(number)
      const clock = this.#gain(number, 0)
      // The machine has ended on its way to this instant.
      if (clock === undefined) continue
      const offset = this.#simulation.offsetOf(number)
      const lost = Math.round(offset - clock.offset - clock.gained)
      Object.assign(clock, { offset, gained: 0 })
      if (lost !== 0) guest.turnClock(lost)
    }
  }

  /** A clock is fast by this part of the time from now on. */
  #gain(number: number, drift: number): DriftingClock | undefined {
    const [guest, clock] = [this.#guests.get(number), this.#clocks.get(number)]
    if (guest === undefined || clock === undefined) return undefined
    const until = guest.now()
    const gained = clock.gained + (until - clock.until) * clock.drift
    return Object.assign(clock, { drift, gained, until })
  }

  #apply(kind: Fault['kind'], number: number): void {
    const amounts = (wanted: Fault['kind']): number[] =>
      [...this.#all].flatMap(({ fault, number: of }) =>
        of === number && fault.kind === wanted ? [fault.amount ?? 1] : [],
      )
    if (kind === 'slow-cpu') this.#simulation.slow(number, Math.min(1, ...amounts(kind)))
    else if (OF_GUEST.includes(kind)) {
      const most = Math.max(0, ...amounts(kind))
      if (kind === 'drift') this.#gain(number, Math.min(most, MOST_DRIFT))
      this.#guests.get(number)?.disturb(kind as GuestFault, most)
    } else
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
