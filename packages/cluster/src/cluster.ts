import type { ClusterDescription, PlacedMachine } from './description.ts'
import { Simulation } from './simulation.ts'
import { type ClusterDisk, Disk } from './disk.ts'
import { Draws } from './draws.ts'
import { LinkFaults, MachineFaults } from './active-faults.ts'
import { describeFault, drawFaults, type Fault, FAULT_KINDS, timeText } from './faults.ts'
import type { ClusterGuest, ClusterHost, GuestListener, MachineStart } from './host.ts'
import { type Link, linkBetween, Links } from './links.ts'
import type { ClusterEvent, ClusterResult } from './result.ts'
import type { RunLog } from './run-log.ts'
import { Properties, readReport } from './reports.ts'

/** Options of a {@link Cluster}. */
export interface ClusterOptions {
  /** Called with each event, by instants. */
  readonly onEvent?: (event: ClusterEvent) => void
  /** Takes the run down; a fork's is not taken down. */
  readonly log?: RunLog
  /** Ends the run. */
  readonly signal?: AbortSignal
}

/** A branch of a cluster's run, from the instant at which all is ready. */
export interface Branch {
  /** Decides what faults are drawn, and what becomes of each frame from then on; 0 for the seed's own branch. */
  readonly number: number
  /** The faults that come; default those that are drawn. */
  readonly faults?: readonly Fault[] | undefined
}

/** The failure of a run that its signal has ended. */
const STOPPED = 'it was stopped before its end'
/** The name of a machine's own program. */
const MAIN = 'main'

interface Heard {
  readonly machine: PlacedMachine
  readonly ns: number
  readonly kind: 'output' | 'report' | 'ended'
  readonly text: string
  /** Exit code of a program that has ended. */
  readonly code?: number
}

const seedOf = (seed: number, branch: number): number =>
  branch === 0 ? seed : new Draws(seed, `branch ${branch}`).bits()

/** Draws the faults of a branch, by their instants. */
export function drawBranch(
  { faults, machines, workload }: ClusterDescription,
  seed: number,
  branch: number,
): readonly Fault[] {
  // A machine that drives the others is part of the test, and not of what is tested.
  const tested = machines.filter(({ name }) => name !== workload?.on)
  const names = (some: readonly PlacedMachine[]): string[] => some.map(({ name }) => name)
  const withDisks = tested.filter(({ disk }) => disk !== undefined)
  return drawFaults(faults, names(tested), seedOf(seed, branch), names(withDisks))
}

/**
 * A cluster: its machines start, its workload gets ready, faults come while drivers run, all is mended, and the check decides. The
 * same description, seed, branch and faults give the same run.
 */
export class Cluster {
  readonly #description: ClusterDescription
  readonly #seed: number
  readonly #host: ClusterHost
  readonly #options: ClusterOptions
  readonly #simulation: Simulation
  readonly #links: Links
  readonly #guests = new Map<number, ClusterGuest>()
  /** The disks of machines that have one, whether these run or not. */
  readonly #disks = new Map<number, ClusterDisk>()
  /** How often each machine was started. */
  readonly #starts = new Map<number, number>()
  readonly #properties: Properties
  readonly #ofLinks: LinkFaults
  readonly #ofMachines: MachineFaults
  /** Lines and ends of programs in this window. */
  #heard: Heard[] = []
  /** Exit codes of programs of the workload. */
  readonly #codes = new Map<string, number>()
  /** The last line of each machine. */
  readonly #lastLines: Map<string, string>
  #failure: string | undefined
  /** The faults that last at present, and how each is ended. */
  readonly #lasting = new Map<Fault, () => Promise<void>>()
  /** The machines that faults keep off, and those faults. */
  readonly #off = new Map<number, Set<Fault>>()
  /** No fault begins before. */
  #quietUntil = 0
  /** A program has reported that all is ready. */
  #isSetUp = false

  private constructor(
    { description, seed, host }: { description: ClusterDescription; seed: number; host: ClusterHost },
    options: ClusterOptions,
    before?: Cluster,
  ) {
    const { machines } = description
    this.#description = description
    this.#seed = seed
    this.#host = host
    this.#options = options
    const usual = (from: number, to: number): Link => linkBetween(description, from, to)
    this.#links = before === undefined ? new Links(seed, machines.length, usual) : before.#links.copy(seed)
    this.#properties = before === undefined ? new Properties() : before.#properties.copy()
    this.#simulation = new Simulation(this.#links, machines.length)
    if (before !== undefined) this.#simulation.now = before.#simulation.now
    for (const machine of machines) {
      const { number, disk } = machine
      if (disk === undefined) continue
      const name = `disk ${number}`
      const made = (): ClusterDisk => host.makeDisk?.(machine, seed, name) ?? new Disk(disk.size, seed, name)
      this.#disks.set(number, before === undefined ? made() : before.#disks.get(number)!.copy())
    }
    this.#ofMachines = new MachineFaults(this.#simulation, this.#guests, this.#disks)
    const { log } = options
    this.#simulation.onFrame = log && ((from, ns, delivery) => log.frame(from, ns, delivery))
    this.#simulation.onWake = log && ((number, ns, offset) => log.goesOn(number, ns, offset))
    this.#lastLines = new Map(before === undefined ? [] : before.#lastLines)
    this.#simulation.onWindow = () => this.#hear()
    this.#simulation.onEnd = (number, reason) => {
      this.#drop(number)
      this.#tell('machine', `ended: ${reason}`, machines[number])
    }
    this.#ofLinks = new LinkFaults(
      this.#links,
      machines.map(({ name }) => name),
    )
  }

  /**
   * Starts a cluster, and gets its workload ready.
   *
   * @throws ClusterError for a cluster that cannot be made; errors of `host`
   */
  static async start(
    description: ClusterDescription,
    seed: number,
    host: ClusterHost,
    options: ClusterOptions = {},
  ): Promise<Cluster> {
    const cluster = new Cluster({ description, seed, host }, options)
    try {
      for (const machine of description.machines) {
        // A start takes seconds.
        if (cluster.#isOver) return cluster
        // oxlint-disable-next-line no-await-in-loop -- one after another: the host has few processors
        await cluster.#start(machine)
      }
      cluster.#tell('phase', 'all machines run')
      const setup = description.workload?.setup
      if (setup === 'setup-complete')
        await cluster.#until(() => cluster.#isSetUp, 'no program has reported setup-complete')
      else if (setup !== undefined) await cluster.#program('setup', setup)
      cluster.#simulation.fork()
      return cluster
    } catch (error) {
      cluster.close()
      throw error
    }
  }

  /** Makes a cluster that goes on from this instant by itself: one that is ready, and has not gone on. */
  async fork(options: ClusterOptions = {}): Promise<Cluster> {
    const [description, seed, host] = [this.#description, this.#seed, this.#host]
    const fork = new Cluster({ description, seed, host }, options, this)
    fork.#failure = this.#failure
    this.#simulation.fork()
    try {
      for (const [number, guest] of this.#guests) {
        fork.#starts.set(number, this.#starts.get(number)!)
        // oxlint-disable-next-line no-await-in-loop -- one after another: the host has few processors
        const clone = await guest.fork(fork.#listener(description.machines[number]!), fork.#disks.get(number))
        fork.#guests.set(number, clone)
        fork.#simulation.add(number, clone, this.#simulation.offsetOf(number))
        fork.#ofMachines.started(number)
      }
      return fork
    } catch (error) {
      fork.close()
      throw error
    }
  }

  /** The present instant, in nanoseconds since the cluster's begin. */
  get now(): number {
    return this.#simulation.now
  }

  /** The cause of a failure until now; undefined: there was none. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** Goes on to the end. */
  async finish({ number, faults = this.draw(number) }: Branch = { number: 0 }): Promise<ClusterResult> {
    const check = this.#description.workload?.check
    this.#links.reseed(seedOf(this.#seed, number))
    for (const disk of this.#disks.values()) disk.reseed(seedOf(this.#seed, number))
    if (!this.#isOver) await this.#withFaults(faults)
    if (!this.#isOver && check !== undefined) {
      this.#tell('phase', 'check')
      await this.#program('check', check)
    }
    if (this.#options.signal?.aborted === true) this.#failure ??= STOPPED
    return { failure: this.#failure, ns: this.#simulation.now, faults, properties: this.#properties.all }
  }

  /** Ends all machines. */
  close(): void {
    for (const guest of this.#guests.values()) guest.close()
    this.#guests.clear()
    for (const disk of this.#disks.values()) disk.close?.()
  }

  /** The faults that are drawn for a branch, by their instants. */
  draw(branch: number): readonly Fault[] {
    return drawBranch(this.#description, this.#seed, branch)
  }

  get #isOver(): boolean {
    return this.#failure !== undefined || this.#options.signal?.aborted === true
  }

  /** Runs drivers while faults come, mends all, and waits for the drivers. */
  async #withFaults(wanted: readonly Fault[]): Promise<void> {
    const { workload, faults } = this.#description
    const simulation = this.#simulation
    const begin = simulation.now
    const drivers = (workload?.drivers ?? []).map((words, i) => ({ name: `driver ${i + 1}`, words }))
    for (const { name, words } of drivers) await this.#begin(name, words)
    this.#options.log?.faultsBegin(begin)
    this.#tell('phase', 'faults begin')
    for (const fault of wanted) simulation.schedule(begin + fault.at, () => this.#fault(fault))
    await simulation.runTo(begin + faults.for, () => this.#isOver)
    if (this.#isOver) return
    this.#tell('phase', 'all is mended')
    await simulation.runTo(simulation.now + faults.heal, () => this.#isOver)
    const isDone = (): boolean => drivers.every(({ name }) => this.#codes.has(name))
    await this.#until(isDone, `the drivers on ${workload?.on} did not end`)
    for (const { name } of drivers) this.#judge(name)
  }

  /** Runs a program of the workload to its end. */
  async #program(name: string, words: readonly string[]): Promise<void> {
    await this.#begin(name, words)
    const { on } = this.#description.workload!
    await this.#until(() => this.#codes.has(name), `${name} on ${on} did not end`)
    this.#judge(name)
  }

  async #begin(name: string, words: readonly string[]): Promise<void> {
    const { on } = this.#description.workload!
    const { number } = this.#description.machines.find((machine) => machine.name === on)!
    await this.#simulation.bring(number)
    const guest = this.#guests.get(number)
    if (guest === undefined) this.#failure ??= `${on} has ended before ${name}`
    await guest?.start(name, words)
  }

  /** @param why - what is wrong where it is not done within the limit */
  async #until(isDone: () => boolean, why: string): Promise<void> {
    const { limit } = this.#description
    await this.#simulation.runTo(limit, () => this.#isOver || isDone())
    if (this.#isOver || isDone()) return
    const last = this.#description.machines.map(({ name }) => `${name}: ${this.#lastLines.get(name) ?? '(nothing)'}`)
    this.#failure = `${why} within ${timeText(limit)} of the cluster's time (limit): last lines: ${last.join('; ')}`
  }

  /** Fails the run for a program that has failed. */
  #judge(name: string): void {
    const code = this.#codes.get(name)
    if (code !== undefined && code !== 0) this.#failure ??= `${name} ended with ${code}`
  }

  async #start(machine: PlacedMachine): Promise<void> {
    const { number, command } = machine
    const count = this.#starts.get(number) ?? 0
    this.#starts.set(number, count + 1)
    const { log } = this.#options
    const { now } = this.#simulation
    const recording = `${machine.name}.${count}`
    const start: MachineStart = {
      seed: new Draws(this.#seed, `start ${number} ${count}`).bits(),
      ns: now,
      disk: this.#disks.get(number),
      ...(log !== undefined && { recording }),
    }
    const guest = await this.#host.make(machine, start, this.#listener(machine))
    this.#guests.set(number, guest)
    this.#simulation.add(number, guest)
    log?.started(number, now, guest.now(), recording)
    this.#ofMachines.started(number)
    if (command.length > 0) await guest.start(MAIN, command)
  }

  #listener(machine: PlacedMachine): GuestListener {
    const note = (kind: Heard['kind']) => (ns: number, text: string, code?: number) =>
      void this.#heard.push({
        ...{ machine, kind, text, ns: ns + this.#simulation.offsetOf(machine.number) },
        ...(code !== undefined && { code }),
      })
    return { line: note('output'), report: note('report'), ended: note('ended') }
  }

  #drop(number: number): void {
    this.#disks.get(number)?.reset()
    this.#guests.get(number)?.close()
    this.#guests.delete(number)
    this.#options.log?.ended(number, this.#simulation.now)
    this.#simulation.remove(number)
  }

  /** The disk of a machine loses its power. */
  async #losePower(machine: PlacedMachine): Promise<void> {
    const loss = await this.#disks.get(machine.number)?.losePower()
    if (loss === undefined || loss.writes === 0) return
    const { writes, lost, torn } = loss
    this.#tell('fault', `of ${writes} writes that were not flushed, ${lost} are lost and ${torn} torn`, machine)
  }

  /** A fault begins, unless its time is a quiet one. */
  async #fault(fault: Fault): Promise<void> {
    const simulation = this.#simulation
    if (simulation.now < this.#quietUntil) return
    this.#tell('fault', describeFault(fault))
    const { kind } = fault
    const ends: (() => unknown)[] = []
    if (FAULT_KINDS[kind].place === 'links') {
      this.#ofLinks.begin(fault)
      ends.push(() => this.#ofLinks.end(fault))
    } else
      for (const machine of this.#description.machines.filter(({ name }) => fault.machines?.includes(name))) {
        if (kind !== 'crash' && kind !== 'power') ends.push(await this.#ofMachines.begin(fault, machine.number))
        // A machine that has ended by itself stays off.
        else if (this.#guests.has(machine.number) || this.#off.has(machine.number)) {
          const causes = this.#off.get(machine.number) ?? new Set()
          this.#off.set(machine.number, causes.add(fault))
          if (causes.size === 1) this.#drop(machine.number)
          // A disk whose machine is off has its cache still.
          if (kind === 'power') await this.#losePower(machine)
          ends.push(async () => {
            causes.delete(fault)
            if (causes.size > 0 || !this.#off.delete(machine.number)) return
            await this.#start(machine)
          })
        }
      }
    this.#lasting.set(fault, async () => {
      this.#lasting.delete(fault)
      this.#tell('fault', `${kind} is over`)
      for (const end of ends) await end()
    })
    simulation.schedule(simulation.now + fault.for, () => this.#lasting.get(fault)?.())
  }

  /** Ends all faults, brings clocks right, and has no fault begin for a while. */
  async #quiet(seconds: number): Promise<void> {
    const simulation = this.#simulation
    this.#quietUntil = simulation.now + seconds * 1e9
    for (const { number } of this.#description.machines) await simulation.wake(number)
    for (const end of this.#lasting.values()) await end()
    await this.#ofMachines.mendClocks()
  }

  /** Takes note of what guests have said in the window, by instants. */
  #hear(): void {
    const heard = this.#heard.toSorted((one, other) => one.ns - other.ns || one.machine.number - other.machine.number)
    this.#heard = []
    for (const { machine, ns, kind, text, code } of heard) {
      const isMain = kind === 'ended' && text === MAIN
      this.#event({
        ...{ ns, kind, machine: machine.name },
        text: kind === 'ended' ? `${isMain ? 'its program' : text} ended with ${code}` : text,
      })
      if (kind === 'ended' && !isMain) this.#codes.set(text, code!)
      if (kind === 'report') this.#report(machine, text)
      if (kind === 'output') this.#lastLines.set(machine.name, text)
    }
  }

  #report(machine: PlacedMachine, line: string): void {
    const report = readReport(line)
    if (report === undefined) {
      // The SDKs' lines of other kinds are none of ours.
      if (!line.startsWith('{'))
        this.#tell(
          'machine',
          `a report that is not understood: ${line} (always NAME ok|fail, sometimes NAME, reachable NAME, …)`,
          machine,
        )
      return
    }
    if (report.kind === 'setup-complete') this.#isSetUp = true
    if (report.kind === 'quiet') {
      this.#simulation.schedule(this.#simulation.now, () => this.#quiet(report.seconds))
      return
    }
    this.#failure ??= this.#properties.note(report, machine.name)
  }

  #tell(kind: ClusterEvent['kind'], text: string, machine?: PlacedMachine): void {
    this.#event({ ns: this.#simulation.now, kind, text, ...(machine && { machine: machine.name }) })
  }

  #event(event: ClusterEvent): void {
    this.#options.onEvent?.(event)
    this.#options.log?.event(event)
  }
}
