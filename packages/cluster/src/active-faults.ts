import type { Simulation } from './simulation.ts'
import { groupOf, kernelOf, type PlacedMachine } from './description.ts'
import type { ClusterDisk } from './disk.ts'
import { describeFault, type Fault, FAULT_KINDS, type GuestFault } from './faults.ts'
import type { ClusterGuest } from './host.ts'
import type { Links, LinkTrouble } from './links.ts'

const OF_GUEST: readonly string[] = ['full', 'memory', 'drift'] satisfies GuestFault[]

/** The faults that hit one of several machines on a kernel; others hit all of them. */
const OF_CONTAINER: readonly string[] = ['hang', 'slow-cpu', 'memory'] satisfies GuestFault[]

/** The largest part of the time by which a clock can be fast: Linux takes no more. Source: Linux, kernel/time/ntp.c, `ntp_validate_timex`. */
export const MOST_DRIFT = 0.1

/**
 * A clock that may drift: the part of the time by which it is fast, and what it has gained until an instant of the machine's time. `offset` is
 * the cluster's time less the machine's when the clock was right: the difference grows while the machine stands still.
 */
type DriftingClock = Record<'drift' | 'gained' | 'until' | 'offset', number>

/** The parts of a cluster that faults are of. */
export interface FaultyParts {
  readonly machines: readonly PlacedMachine[]
  readonly simulation: Simulation
  readonly links: Links
  readonly guests: ReadonlyMap<number, Pick<ClusterGuest, 'now' | 'turnClock' | 'disturb'>>
  readonly disks: ReadonlyMap<number, ClusterDisk>
  /** How often each machine was started. */
  readonly starts: ReadonlyMap<number, number>
  /** Ends a machine. */
  readonly drop: (number: number) => void
  /** Starts a machine again. */
  readonly start: (machine: PlacedMachine) => Promise<void>
  /** Tells of a fault. */
  readonly tell: (text: string, machine?: PlacedMachine) => void
}

/** The faults that last at present: data, so that a cluster is forked while they last. Several of one link, machine or disk add up. */
export class ActiveFaults {
  readonly #parts: FaultyParts
  /** In the order in which they began, with the starts that machines were in by then. */
  readonly #lasting = new Map<Fault, ReadonlyMap<number, number>>()
  /** The machines that faults keep off, and those faults. */
  readonly #off = new Map<number, Set<Fault>>()
  readonly #clocks = new Map<number, DriftingClock>()

  /** @param before - of the cluster that this one is a fork of */
  constructor(parts: FaultyParts, before?: ActiveFaults) {
    this.#parts = parts
    if (before === undefined) return
    this.#lasting = new Map(before.#lasting)
    for (const [number, causes] of before.#off) this.#off.set(number, new Set(causes))
    for (const [number, clock] of before.#clocks) this.#clocks.set(number, { ...clock })
  }

  /** A fault begins. */
  async begin(fault: Fault): Promise<void> {
    const { tell, starts } = this.#parts
    tell(describeFault(fault))
    this.#lasting.set(fault, new Map(starts))
    if (FAULT_KINDS[fault.kind].place === 'links') this.#applyToLinks()
    else for (const machine of this.#machinesOf(fault)) await this.#beginOf(fault, machine)
  }

  /** A fault ends, if it lasts still. */
  async end(fault: Fault): Promise<void> {
    const starts = this.#lasting.get(fault)
    if (starts === undefined) return
    this.#lasting.delete(fault)
    this.#parts.tell(`${fault.kind} is over`)
    if (FAULT_KINDS[fault.kind].place === 'links') this.#applyToLinks()
    else for (const machine of this.#machinesOf(fault)) await this.#endOf(fault, machine, starts.get(machine.number))
  }

  /** Ends all faults, and brings clocks right. */
  async endAll(): Promise<void> {
    for (const { number } of this.#parts.machines) await this.#parts.simulation.wake(number)
    for (const fault of this.#lasting.keys()) await this.end(fault)
    for (const number of this.#parts.guests.keys()) await this.#mendClock(number)
  }

  /** A machine has started: its clock is right, and faults that last still are of it, too. */
  started(machine: PlacedMachine): void {
    const { guests, machines, simulation } = this.#parts
    const { number } = machine
    const until = guests.get(number)!.now()
    this.#clocks.set(number, { drift: 0, gained: 0, until, offset: simulation.offsetOf(number) })
    for (const one of groupOf(machines, machine))
      for (const kind of new Set(this.#faultsOf(one).map((fault) => fault.kind))) this.#applyTo(kind, one)
  }

  /** The machines that a fault hits: a container by itself, or the machine whose kernel it shares, once. */
  #machinesOf({ kind, machines: names }: Fault): readonly PlacedMachine[] {
    const { machines } = this.#parts
    const named = machines.filter(({ name }) => names?.includes(name))
    return OF_CONTAINER.includes(kind) ? named : [...new Set(named.map((one) => kernelOf(machines, one)))]
  }

  #faultsOf(machine: PlacedMachine): readonly Fault[] {
    return [...this.#lasting.keys()].filter(
      (fault) => FAULT_KINDS[fault.kind].place !== 'links' && this.#machinesOf(fault).includes(machine),
    )
  }

  /** Whether a machine shares its kernel with others: its guest freezes it then, and gives it less of the processors. */
  #isShared(machine: PlacedMachine): boolean {
    return machine.inside !== undefined || groupOf(this.#parts.machines, machine).length > 1
  }

  async #beginOf(fault: Fault, machine: PlacedMachine): Promise<void> {
    const { simulation, guests, disks, drop } = this.#parts
    const { kind, amount = 0 } = fault
    const { number } = kernelOf(this.#parts.machines, machine)
    if (kind === 'crash' || kind === 'power') {
      // A machine that has ended by itself stays off.
      if (!guests.has(number) && !this.#off.has(number)) return
      const causes = this.#off.get(number) ?? new Set()
      this.#off.set(number, causes.add(fault))
      if (causes.size === 1) drop(number)
      // A disk whose machine is off has its cache still.
      if (kind === 'power') await this.#losePower(machine, fault.lost)
      return
    }
    // The clock of a machine that hangs stands still from now on, and not since it had nothing to do.
    await simulation.bring(number)
    if (kind === 'hang' && !this.#isShared(machine)) simulation.hang(number, fault.for)
    else if (kind === 'clock') guests.get(number)?.turnClock(amount)
    else {
      if (kind === 'stall') disks.get(number)?.stall(fault.for)
      this.#applyTo(kind, machine)
    }
  }

  /** @param start - the start that the machine was in when the fault began */
  async #endOf(fault: Fault, machine: PlacedMachine, start: number | undefined): Promise<void> {
    const { simulation, guests, disks, starts } = this.#parts
    const { kind, amount = 0 } = fault
    const { number } = kernelOf(this.#parts.machines, machine)
    if (kind === 'hang' && !this.#isShared(machine)) return
    if (kind === 'crash' || kind === 'power') {
      const causes = this.#off.get(number)
      if (causes?.delete(fault) !== true || causes.size > 0) return
      this.#off.delete(number)
      await this.#parts.start(machine)
    } else if (kind === 'clock') {
      // A machine that was started again has the right time.
      if (starts.get(number) === start) guests.get(number)?.turnClock(-amount)
    } else {
      await simulation.bring(number)
      if (kind === 'stall') disks.get(number)?.stall(0)
      this.#applyTo(kind, machine)
    }
  }

  /** The disk of a machine loses its power. */
  async #losePower(machine: PlacedMachine, given: Fault['lost']): Promise<void> {
    const loss = await this.#parts.disks.get(machine.number)?.losePower(given)
    if (loss === undefined || loss.writes === 0) return
    const { writes, lost, torn } = loss
    this.#parts.tell(`of ${writes} writes that were not flushed, ${lost} are lost and ${torn} torn`, machine)
  }

  /** Takes back what a clock has gained by drift, or lost while its machine stood still. No fault lasts. */
  async #mendClock(number: number): Promise<void> {
    const { simulation, guests } = this.#parts
    await simulation.bring(number)
    const clock = this.#gain(number, 0)
    // The machine has ended on its way to this instant.
    if (clock === undefined) return
    const offset = simulation.offsetOf(number)
    const lost = Math.round(offset - clock.offset - clock.gained)
    Object.assign(clock, { offset, gained: 0 })
    if (lost !== 0) guests.get(number)!.turnClock(lost)
  }

  /** A clock is fast by this part of the time from now on. */
  #gain(number: number, drift: number): DriftingClock | undefined {
    const [guest, clock] = [this.#parts.guests.get(number), this.#clocks.get(number)]
    if (guest === undefined || clock === undefined) return undefined
    const until = guest.now()
    const gained = clock.gained + (until - clock.until) * clock.drift
    return Object.assign(clock, { drift, gained, until })
  }

  /** Applies the faults of a kind to a machine, or to its disk. */
  #applyTo(kind: Fault['kind'], machine: PlacedMachine): void {
    const { machines, simulation, guests, disks } = this.#parts
    const { number } = kernelOf(machines, machine)
    const amounts = (wanted: Fault['kind']): number[] =>
      this.#faultsOf(machine).flatMap((fault) => (fault.kind === wanted ? [fault.amount ?? 1] : []))
    if (OF_GUEST.includes(kind) || (OF_CONTAINER.includes(kind) && this.#isShared(machine))) {
      const all = amounts(kind)
      const most = kind === 'slow-cpu' ? 1 - Math.min(1, ...all) : Math.max(0, ...all)
      if (kind === 'drift') this.#gain(number, Math.min(most, MOST_DRIFT))
      guests.get(number)?.disturb(kind as GuestFault, most, machine.number)
    } else if (kind === 'slow-cpu') simulation.slow(number, Math.min(1, ...amounts(kind)))
    else if (FAULT_KINDS[kind].place === 'disk')
      disks.get(number)?.trouble({
        eio: Math.max(0, ...amounts('eio')),
        flushNs: Math.max(0, ...amounts('slow-fsync')),
        losesFlushes: amounts('lost-fsync').length > 0,
      })
  }

  #applyToLinks(): void {
    const { machines, links } = this.#parts
    const all = [...this.#lasting.keys()].filter(({ kind }) => FAULT_KINDS[kind].place === 'links')
    for (const { name: one, number: from } of machines)
      for (const { name: other, number: to } of machines) {
        const faults = all.filter((fault) => concerns(fault, one, other))
        const isCut = faults.some(({ kind }) => kind === 'partition')
        links.cut(from, to, isCut)
        links.trouble(from, to, troubleOf(faults))
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
