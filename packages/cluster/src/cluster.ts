import { type ClusterDescription, groupOf, kernelOf, type PlacedMachine } from './description.ts'
import { Simulation } from './simulation.ts'
import { type ClusterDisk, Disk } from './disk.ts'
import { drawBranch, faultsOf, seedOfBranch, seedOfStretch, type Stretch } from './draw-faults.ts'
import { Draws, type Seed } from './draws.ts'
import { ActiveFaults } from './active-faults.ts'
import { type Fault, timeText } from './faults.ts'
import type { ClusterGuest, ClusterHost, GuestListener, MachineStart } from './host.ts'
import { linkBetween, Links } from './links.ts'
import { EXEC_PROGRAM, MachinePrograms, MAIN_PROGRAM } from './machine-programs.ts'
import type { ClusterEvent, ClusterResult } from './result.ts'
import type { RunLog } from './run-log.ts'
import { Properties, readReport } from './reports.ts'
import { failureOf, TestCommands } from './test-commands.ts'

/** Options of a {@link Cluster}. */
export interface ClusterOptions {
  /** Called with each event, by instants. */
  readonly onEvent?: (event: ClusterEvent) => void
  /** Called with code that programs of a machine execute: see `ClusterGuest.watchCode`. */
  readonly onCode?: (page: string) => void
  /** Takes the run down; a fork's is not taken down. */
  readonly log?: RunLog
  /** The instant at which the run stops: it may be forked there, and its forks go on. */
  readonly until?: number
  /** Ends the run. */
  readonly signal?: AbortSignal
  /** Of a fork: disks by the numbers of their machines, in place of copies. */
  readonly disks?: ReadonlyMap<number, ClusterDisk>
}

/** A branch of a cluster's run, from the instant at which all is ready. */
export interface Branch {
  /** Decides what faults are drawn, and what becomes of each frame from then on; 0 for the seed's own branch. */
  readonly number: number
  /** The faults that come; default those that are drawn. */
  readonly faults?: readonly Fault[] | undefined
}

/** A path of a cluster's run, from the instant at which all is ready. */
export interface ClusterPath {
  /** The stretches, one after another. */
  readonly path: readonly Stretch[]
  /** All is mended at its end, and the check decides. */
  readonly mended: boolean
}

/** The failure of a run that its signal has ended. */
export const STOPPED = 'it was stopped before its end'

interface Heard {
  readonly machine: PlacedMachine
  readonly ns: number
  readonly kind: 'output' | 'report' | 'ended' | 'status'
  readonly text: string
  /** Exit code of a program that has ended. */
  readonly code?: number
}

/** A scheduled event of the cluster's time. */
type Due =
  | { readonly ns: number; readonly kind: 'begin' | 'end'; readonly fault: Fault }
  | { readonly ns: number; readonly kind: 'quiet'; readonly seconds: number }
  | { readonly ns: number; readonly kind: 'program'; readonly machine: PlacedMachine }
  | { readonly ns: number; readonly kind: 'commands' }

/** The part of a run that it is in, and the instant at which that ends by itself. */
interface Phase {
  readonly name: 'ready' | 'faults' | 'healing' | 'drivers' | 'check' | 'last' | 'over'
  readonly until: number
  /** Programs that end before the next phase begins, as all commands do; undefined: the phase ends by its instant. */
  readonly awaits?: readonly string[]
}

/** A cluster at the end of a window, without its machines. */
interface Instant {
  readonly now: number
  readonly links: Links
  readonly disks: ReadonlyMap<number, ClusterDisk>
  readonly faults: ActiveFaults
  readonly properties: Properties
  readonly programs: MachinePrograms
  readonly commands: TestCommands
  readonly starts: ReadonlyMap<number, number>
  readonly codes: ReadonlyMap<string, number>
  readonly lastLines: ReadonlyMap<string, string>
  readonly heard: readonly Heard[]
  readonly named: readonly number[]
  readonly failure: string | undefined
  readonly phase: Phase
  readonly due: Iterable<Due>
  readonly quietUntil: number
}

/**
 * A cluster: its machines start, its workload gets ready, faults come while drivers run, all is mended, and the check decides. The
 * same description, seed, branch and faults give the same run.
 */
export class Cluster {
  readonly #description: ClusterDescription
  readonly #seed: Seed
  readonly #host: ClusterHost
  readonly #options: ClusterOptions
  readonly #until: number
  readonly #simulation: Simulation
  readonly #links: Links
  readonly #guests = new Map<number, ClusterGuest>()
  /** The disks of machines that have one, whether these run or not. */
  readonly #disks = new Map<number, ClusterDisk>()
  /** How often each machine was started. */
  readonly #starts: Map<number, number>
  readonly #properties: Properties
  readonly #programs: MachinePrograms
  readonly #commands: TestCommands
  readonly #faults: ActiveFaults
  /** Lines and ends of programs in this window. */
  #heard: Heard[]
  /** The machines whose names all guests have. */
  #named: readonly number[]
  /** Exit codes of programs of the workload. */
  readonly #codes: Map<string, number>
  /** The last line of each machine. */
  readonly #lastLines: Map<string, string>
  #failure: string | undefined
  #phase: Phase
  readonly #due = new Set<Due>()
  /** No fault begins before. */
  #quietUntil: number
  /** A program has reported that all is ready. */
  #isSetUp = false
  #hearsExec: ((stream: string, base64: string) => void) | undefined

  private constructor(
    { description, seed, host }: { description: ClusterDescription; seed: Seed; host: ClusterHost },
    options: ClusterOptions,
    before?: Instant,
  ) {
    const { machines } = description
    this.#description = description
    this.#seed = seed
    this.#host = host
    this.#options = options
    this.#until = options.until ?? Infinity
    this.#links = before?.links ?? new Links(seed, machines.length, (from, to) => linkBetween(description, from, to))
    this.#properties = before?.properties ?? new Properties()
    this.#programs = new MachinePrograms(machines, before?.programs)
    this.#commands = new TestCommands(description.workload?.templates, seed, before?.commands)
    const cards = machines.map((machine) => kernelOf(machines, machine).number)
    const simulation = new Simulation(this.#links, machines.length, cards)
    this.#simulation = simulation
    simulation.now = before?.now ?? 0
    this.#starts = new Map(before?.starts)
    this.#codes = new Map(before?.codes)
    this.#lastLines = new Map(before?.lastLines)
    this.#heard = [...(before?.heard ?? [])]
    this.#named = before?.named ?? this.#findNamed()
    this.#failure = before?.failure
    this.#phase = before?.phase ?? { name: 'ready', until: Infinity }
    this.#quietUntil = before?.quietUntil ?? 0
    for (const machine of machines) {
      const { number, disk, inside } = machine
      if (disk === undefined || inside !== undefined) continue
      const name = `disk ${number}`
      const made = (): ClusterDisk => host.makeDisk?.(machine, seed, name) ?? new Disk(disk.size, seed, name)
      this.#disks.set(number, before?.disks.get(number) ?? made())
    }
    this.#faults = new ActiveFaults(
      {
        machines,
        simulation,
        links: this.#links,
        guests: this.#guests,
        disks: this.#disks,
        starts: this.#starts,
        drop: (number) => this.#drop(number),
        start: (machine) => this.#start(machine),
        tell: (text, machine) => this.#tell('fault', text, machine),
      },
      before?.faults,
    )
    for (const due of before?.due ?? []) this.#schedule(due)
    const { log } = options
    simulation.onFrame = log && ((from, ns, delivery) => log.frame(from, ns, delivery))
    simulation.onWake = (number, ns, offset) => {
      for (const one of groupOf(machines, machines[number]!)) log?.goesOn(one.number, ns, offset)
    }
    simulation.onWindow = () => this.#hear()
    if (description.resolver === true) simulation.onInstant = () => this.#tellNames()
    simulation.onEnd = (number, reason) => {
      this.#drop(number)
      this.#tell('machine', `ended: ${reason}`, machines[number])
    }
  }

  /**
   * Starts a cluster, and gets its workload ready.
   *
   * @throws ClusterError for a cluster that cannot be made; errors of `host`
   */
  static async start(
    description: ClusterDescription,
    seed: Seed,
    host: ClusterHost,
    options: ClusterOptions = {},
  ): Promise<Cluster> {
    const cluster = new Cluster({ description, seed, host }, options)
    try {
      // A container starts with its machine.
      for (const machine of description.machines.filter(({ inside }) => inside === undefined)) {
        // A start takes seconds.
        if (cluster.#isOver) return cluster
        await cluster.#start(machine)
      }
      cluster.#tell('phase', 'all machines run')
      await cluster.#setUp()
      cluster.#simulation.rest()
      return cluster
    } catch (error) {
      cluster.close()
      throw error
    }
  }

  /**
   * Makes a cluster that goes on from this instant by itself. To be called at the end of {@link Cluster.start}, of {@link Cluster.goOn}
   * or of {@link Cluster.stretch}: this one goes on as its fork does, too.
   */
  async fork(options: ClusterOptions = {}): Promise<Cluster> {
    const [description, seed, host] = [this.#description, this.#seed, this.#host]
    const fork = new Cluster({ description, seed, host }, options, this.#instant(options.disks))
    this.#simulation.rest()
    try {
      for (const [number, guest] of this.#guests) {
        const clone = await guest.fork(fork.#listener(description.machines[number]!), fork.#disks.get(number))
        clone.watchCode?.(options.onCode)
        fork.#guests.set(number, clone)
        fork.#simulation.addClone(number, clone, this.#simulation)
      }
      return fork
    } catch (error) {
      fork.close()
      throw error
    }
  }

  /** All but the machines, for a fork. */
  #instant(given?: ReadonlyMap<number, ClusterDisk>): Instant {
    return {
      now: this.now,
      links: this.#links.copy(),
      disks: new Map([...this.#disks].map(([number, disk]) => [number, given?.get(number) ?? disk.copy()])),
      faults: this.#faults,
      properties: this.#properties.copy(),
      programs: this.#programs,
      commands: this.#commands,
      starts: this.#starts,
      codes: this.#codes,
      lastLines: this.#lastLines,
      heard: this.#heard,
      named: this.#named,
      failure: this.#failure,
      phase: this.#phase,
      due: this.#due,
      quietUntil: this.#quietUntil,
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

  /** The properties that programs have reported, by name. */
  get properties(): ClusterResult['properties'] {
    return this.#properties.all
  }

  /** Identifies the state without the machines' RAM: equal states have equal marks. */
  async mark(): Promise<string> {
    const all = [...this.#guests].map(async ([number, guest]) => `${number}: ${await guest.digest(true)}`)
    return JSON.stringify([this.now, this.#failure, [...this.#due], await Promise.all(all)])
  }

  /** The disks of machines, by their numbers. */
  get disks(): ReadonlyMap<number, ClusterDisk> {
    return this.#disks
  }

  /** The difference of the cluster's time and the clock of a machine that runs. */
  offsetOf(number: number): number {
    return this.#simulation.offsetOf(number)
  }

  /** The machines that run, by their numbers. */
  get guests(): ReadonlyMap<number, ClusterGuest> {
    return this.#guests
  }

  /** Goes on to the end, of a branch or of a path, without a fork. */
  async finish(branch: Branch | ClusterPath = { number: 0 }): Promise<ClusterResult> {
    if ('path' in branch) return this.#follow(branch)
    const { faults = this.draw(branch.number) } = branch
    await this.begin({ ...branch, faults })
    await this.goOn()
    return this.#result(faults)
  }

  /** Has a branch begin: its drivers, and the time in which its faults come. */
  async begin({ number, faults = this.draw(number) }: Branch): Promise<void> {
    this.#reseed(seedOfBranch(this.#seed, number))
    if (await this.#beginFaults(this.#description.faults.for)) this.#scheduleFaults(faults)
  }

  /** Goes on until an instant, at which the cluster rests and may be forked, or to the end of the run. */
  async goOn(to: number = Infinity): Promise<void> {
    while (!this.#isOver && this.#phase.name !== 'over' && this.now < to) {
      const until = Math.min(this.#phase.until, to, this.#until)
      await this.#simulation.runTo(until, () => this.#isOver || this.#isDone)
      if (!this.#isOver) await this.#nextPhase()
    }
    if (to < Infinity) this.#simulation.rest()
  }

  /** Goes on for a stretch of the time in which faults come. */
  async stretch(stretch: Stretch): Promise<void> {
    if (this.#isOver) return
    this.#reseed(seedOfStretch(this.#seed, stretch))
    if (this.#phase.name === 'ready' && !(await this.#beginFaults(Infinity))) return
    const { now } = this
    this.#scheduleFaults(stretch.faults)
    await this.goOn(now + stretch.for)
  }

  /** Ends all faults, lets the drivers end, and has the check decide. */
  async mend(): Promise<ClusterResult> {
    if (this.#phase.name === 'ready') await this.#beginFaults(Infinity)
    if (!this.#isOver) {
      await this.#quiet(Infinity)
      this.#mended()
      await this.goOn()
    }
    return this.#result([])
  }

  /**
   * Runs a program on a machine beside all else, at an instant at which the cluster may be forked: faults that last go on, no further
   * one begins, and a failure ends nothing.
   *
   * @param hears - its output (stream 1) and errors (2), in base64; without it they are lines of the machine, which takes less time
   * @returns its exit code; undefined: it has not ended in this time, or its machine has ended
   */
  async exec(
    machine: string,
    words: readonly string[],
    ns: number,
    hears?: (stream: string, base64: string) => void,
  ): Promise<number | undefined> {
    const { signal } = this.#options
    const place = this.#machineOf(machine)
    const name = hears === undefined ? 'program' : EXEC_PROGRAM
    this.#hearsExec = hears
    this.#codes.delete(name)
    this.#quietUntil = Infinity
    await this.#startProgram(name, words, machine)
    const isEnded = (): boolean => this.#codes.has(name) || this.#guestOf(place) === undefined
    await this.#simulation.runTo(this.now + ns, () => signal?.aborted === true || isEnded())
    this.#simulation.rest()
    return this.#codes.get(name)
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
    return this.#failure !== undefined || this.#options.signal?.aborted === true || this.now >= this.#until
  }

  #result(faults: readonly Fault[]): ClusterResult {
    if (this.#options.signal?.aborted === true) this.#failure ??= STOPPED
    return { failure: this.#failure, ns: this.now, faults, properties: this.properties }
  }

  async #follow({ path, mended }: ClusterPath): Promise<ClusterResult> {
    for (const stretch of path) await this.stretch(stretch)
    return { ...(await (mended ? this.mend() : this.#result([]))), faults: faultsOf(path) }
  }

  #reseed(seed: Seed): void {
    this.#links.reseed(seed)
    for (const disk of this.#disks.values()) disk.reseed(seed)
    this.#commands.reseed(seed)
  }

  get #drivers(): readonly { readonly name: string; readonly words: readonly string[] }[] {
    return (this.#description.workload?.drivers ?? []).map((words, i) => ({ name: `driver ${i + 1}`, words }))
  }

  async #setUp(): Promise<void> {
    const setup = this.#description.workload?.setup
    const isBegun = (): boolean => this.#programs.waiting.length === 0
    await this.#runUntil(isBegun, () => this.#programs.waits(this.now))
    if (setup === undefined || this.#isOver) return
    const isReport = setup === 'setup-complete'
    if (!isReport) await this.#startProgram('setup', setup)
    const isDone = (): boolean => (isReport ? this.#isSetUp : this.#codes.has('setup'))
    await this.#runUntil(isDone, () => (isReport ? 'no program has reported setup-complete' : this.#unended('setup')))
    this.#judge('setup')
  }

  /** Goes on until something is done. @param late - the sentence of the run's failure where it is not done within the limit */
  async #runUntil(isDone: () => boolean, late: () => string): Promise<void> {
    await this.#simulation.runTo(Math.min(this.#description.limit, this.#until), () => this.#isOver || isDone())
    if (!this.#isOver && !isDone()) this.#late(late())
  }

  /** Starts the drivers, after the first command of a template. @returns whether the time of faults has begun: nothing has failed */
  async #beginFaults(lasts: number): Promise<boolean> {
    await this.#beginCommands()
    if (this.#isOver) return false
    for (const { name, words } of this.#drivers) await this.#startProgram(name, words)
    this.#options.log?.faultsBegin(this.now)
    this.#tell('phase', 'faults begin')
    this.#phase = { name: 'faults', until: this.now + lasts }
    await this.#startCommands()
    return true
  }

  /** Draws a template, and runs its first command to its end: all other commands come after it. */
  async #beginCommands(): Promise<void> {
    const template = this.#isOver ? undefined : this.#commands.begin()
    if (template === undefined) return
    this.#tell('phase', `test template ${template}`)
    const first = this.#commands.startFirst()
    if (first === undefined) return
    await this.#startCommand(first)
    const isDone = (): boolean => this.#commands.running.size === 0
    await this.#runUntil(isDone, () => this.#unended('first'))
  }

  /** Starts the commands of the template whose time has come. */
  async #startCommands(): Promise<void> {
    if (this.#phase.name !== 'faults' || this.#isOver) return
    const isOn = (name: string): boolean => this.#guestOf(this.#machineOf(name)) !== undefined
    const { starts, again } = this.#commands.due(this.now, isOn)
    for (const name of starts) await this.#startCommand(name)
    for (const ns of again) this.#schedule({ ns, kind: 'commands' })
  }

  async #startCommand(name: string): Promise<void> {
    const { on, command } = this.#commands.running.get(name)!
    this.#tell('phase', `${name} starts`, this.#machineOf(on))
    await this.#startProgram(name, command, on)
  }

  #scheduleFaults(faults: readonly Fault[]): void {
    for (const fault of faults) this.#schedule({ ns: this.now + fault.at, kind: 'begin', fault })
  }

  #mended(): void {
    this.#tell('phase', 'all is mended')
    this.#phase = { name: 'healing', until: this.now + this.#description.faults.heal }
  }

  /** Whether the programs have ended that the phase waits for. */
  get #isDone(): boolean {
    const { awaits } = this.#phase
    return this.#commands.running.size === 0 && awaits?.every((name) => this.#codes.has(name)) === true
  }

  /** Begins the next phase, if this one has come to its end. */
  async #nextPhase(): Promise<void> {
    const { name, until, awaits } = this.#phase
    if (this.#isDone) {
      for (const program of awaits!) this.#judge(program)
      await this.#decide(name)
    } else if (this.now < until) return
    else if (awaits !== undefined) this.#late(this.#unended(name === 'drivers' ? 'the drivers' : name))
    else if (name === 'faults') this.#mended()
    else {
      this.#phase = { name: 'drivers', until: this.#description.limit, awaits: this.#drivers.map((one) => one.name) }
      for (const [program, { on }] of this.#commands.drawLast()) await this.#kill(program, on)
    }
  }

  async #kill(name: string, on: string): Promise<void> {
    const machine = this.#machineOf(on)
    this.#tell('phase', `${name} is killed`, machine)
    await this.#simulation.bring(kernelOf(this.#description.machines, machine).number)
    this.#guestOf(machine)?.kill(name, machine.number)
  }

  /** Begins the check after the drivers, then the command of the template that decides. @param after - the phase that has ended */
  async #decide(after: Phase['name']): Promise<void> {
    const { limit, workload } = this.#description
    this.#phase = { name: 'over', until: Infinity }
    if (this.#isOver || after === 'last') return
    if (after === 'drivers' && workload?.check !== undefined) {
      this.#phase = { name: 'check', until: limit, awaits: ['check'] }
      this.#tell('phase', 'check')
      return this.#startProgram('check', workload.check)
    }
    const last = this.#commands.startLast()
    if (last === undefined) return
    this.#phase = { name: 'last', until: limit, awaits: [] }
    await this.#startCommand(last)
  }

  /** Starts a program of the workload. */
  async #startProgram(name: string, words: readonly string[], on = this.#description.workload!.on!): Promise<void> {
    const machine = this.#machineOf(on)
    await this.#simulation.bring(kernelOf(this.#description.machines, machine).number)
    const guest = this.#guestOf(machine)
    if (guest === undefined) this.#failure ??= `${on} has ended before ${name}`
    await guest?.start(name, words, machine.number)
  }

  #machineOf(name: string): PlacedMachine {
    return this.#description.machines.find((one) => one.name === name)!
  }

  /** The guest that a machine is, or is in; undefined: it is off. */
  #guestOf(machine: PlacedMachine): ClusterGuest | undefined {
    return this.#guests.get(kernelOf(this.#description.machines, machine).number)
  }

  #unended(what: string): string {
    const files = new Set([...this.#commands.running.values()].map(({ command: [file] }) => file))
    return `${files.size > 0 ? [...files].join(', ') : `${what} on ${this.#description.workload?.on}`} did not end`
  }

  /** Fails the run for a program that has not come to its end within the limit. @param why - a sentence */
  #late(why: string): void {
    const { limit, machines } = this.#description
    const last = machines.map(({ name }) => `${name}: ${this.#lastLines.get(name) ?? '(nothing)'}`)
    this.#failure = `${why} within ${timeText(limit)} of the cluster's time (limit): last lines: ${last.join('; ')}`
  }

  /** Fails the run for a program that has failed. */
  #judge(name: string): void {
    const code = this.#codes.get(name)
    if (code !== undefined && code !== 0) this.#failure ??= `${name} ended with ${code}`
  }

  async #start(machine: PlacedMachine): Promise<void> {
    const { number } = machine
    const count = this.#starts.get(number) ?? 0
    this.#starts.set(number, count + 1)
    const { log } = this.#options
    const { now } = this.#simulation
    const recording = `${machine.name}.${count}`
    const start: MachineStart = {
      seed: new Draws(this.#seed, `start ${number} ${count}`).bits(),
      ns: now,
      disk: this.#disks.get(number),
      ...(this.#description.resolver === true && { named: this.#findNamed() }),
      ...(log !== undefined && { recording }),
    }
    const guest = await this.#host.make(machine, start, this.#listener(machine))
    guest.watchCode?.(this.#options.onCode)
    this.#guests.set(number, guest)
    this.#simulation.add(number, guest)
    const group = groupOf(this.#description.machines, machine)
    for (const one of group) log?.started(one.number, now, guest.now(), recording)
    this.#faults.started(machine)
    for (const one of group) if (this.#programs.machineStarts(one, now)) await this.#startMain(guest, one)
  }

  /** The program of a machine has waited for others, and starts. A machine that is off has it start with the machine. */
  async #startWaiting(machine: PlacedMachine): Promise<void> {
    await this.#simulation.bring(kernelOf(this.#description.machines, machine).number)
    const guest = this.#guestOf(machine)
    if (this.#programs.begins(machine, this.now) && guest !== undefined) await this.#startMain(guest, machine)
  }

  /** Starts the program of a machine, behind the folders that it copies. */
  #startMain(guest: ClusterGuest, machine: PlacedMachine): Promise<void> {
    return guest.start(MAIN_PROGRAM, machine.command, machine.number, this.#programs.copiesOf(machine))
  }

  #listener(machine: PlacedMachine): GuestListener {
    const { machines } = this.#description
    const { number } = kernelOf(machines, machine)
    const note = (kind: Heard['kind']) => (ns: number, text: string, code?: number) =>
      void this.#heard.push({
        ...{ machine, kind, text, ns: ns + this.#simulation.offsetOf(number) },
        ...(code !== undefined && { code }),
      })
    const inside = (container: number): GuestListener => this.#listener(machines[container]!)
    return { line: note('output'), report: note('report'), ended: note('ended'), status: note('status'), inside }
  }

  #drop(number: number): void {
    this.#disks.get(number)?.reset()
    this.#guests.get(number)?.close()
    this.#guests.delete(number)
    this.#simulation.remove(number)
    const { machines } = this.#description
    const { now } = this.#simulation
    for (const one of groupOf(machines, machines[number]!)) {
      this.#options.log?.ended(one.number, now)
      // A driver ends with its machine, and has not failed.
      if (this.#phase.name !== 'ready' && one.name === this.#description.workload?.on)
        for (const { name } of this.#drivers) if (!this.#codes.has(name)) this.#codes.set(name, 0)
      if (this.#commands.lost(one.name)) this.#schedule({ ns: now, kind: 'commands' })
    }
  }

  #schedule(due: Due): void {
    this.#due.add(due)
    this.#simulation.schedule(due.ns, async () => {
      this.#due.delete(due)
      if (due.kind === 'quiet') await this.#quiet(due.seconds)
      else if (due.kind === 'program') await this.#startWaiting(due.machine)
      else if (due.kind === 'commands') await this.#startCommands()
      else if (due.kind === 'end') await this.#faults.end(due.fault)
      else await this.#fault(due.fault)
    })
  }

  /** A fault begins, unless its time is a quiet one. */
  async #fault(fault: Fault): Promise<void> {
    if (this.now < this.#quietUntil) return
    await this.#faults.begin(fault)
    this.#schedule({ ns: this.now + fault.for, kind: 'end', fault })
  }

  /** Ends all faults, brings clocks right, and has no fault begin for a while. */
  async #quiet(seconds: number): Promise<void> {
    this.#quietUntil = this.now + seconds * 1e9
    await this.#faults.endAll()
  }

  /** Takes note of what guests have said in the window, by instants. */
  #hear(): void {
    const heard = this.#heard.toSorted((one, other) => one.ns - other.ns || one.machine.number - other.machine.number)
    this.#heard = []
    for (const { machine, ns, kind, text, code } of heard) {
      if (kind === 'status') {
        const [word, stream = '', base64 = ''] = text.split(' ')
        if (word === 'said') this.#hearsExec?.(stream, base64)
        const told = word === 'said' ? undefined : this.#programs.status(machine, text)
        if (told !== undefined) this.#event({ ns, kind: 'machine', machine: machine.name, text: told })
        continue
      }
      const isMain = kind === 'ended' && text === MAIN_PROGRAM
      this.#event({
        ...{ ns, kind, machine: machine.name },
        text: kind === 'ended' ? `${isMain ? 'its program' : text} ended with ${code}` : text,
      })
      const command = kind === 'ended' ? this.#commands.ended(text) : undefined
      if (command !== undefined) {
        this.#failure ??= failureOf(command, code)
        this.#schedule({ ns: this.now, kind: 'commands' })
      } else if (isMain) this.#programs.ended(machine, code)
      else if (kind === 'ended') this.#codes.set(text, code!)
      if (kind === 'report') this.#report(machine, text)
      if (kind === 'output') this.#lastLines.set(machine.name, text)
    }
    this.#failure ??= this.#programs.failure
    for (const machine of this.#programs.due(this.now)) this.#schedule({ ns: this.now, kind: 'program', machine })
  }

  /** The numbers of the machines that others find by their names. At first all machines start together. */
  #findNamed(): readonly number[] {
    const isOn = (one: PlacedMachine): boolean => this.now === 0 || this.#guestOf(one) !== undefined
    return this.#description.machines
      .filter((one) => isOn(one) && this.#programs.hasName(one))
      .map(({ number }) => number)
  }

  /** Tells all guests which names there are, when that has changed. */
  async #tellNames(): Promise<void> {
    const named = this.#findNamed()
    if (`${named}` === `${this.#named}`) return
    this.#named = named
    for (const number of this.#guests.keys()) {
      await this.#simulation.bring(number)
      // The guest may have ended on its way to this instant.
      this.#guests.get(number)?.names?.(named)
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
      this.#schedule({ ns: this.now, kind: 'quiet', seconds: report.seconds })
      return
    }
    this.#failure ??= this.#properties.note(report, machine.name)
  }

  #tell(kind: ClusterEvent['kind'], text: string, machine?: PlacedMachine): void {
    this.#event({ ns: this.now, kind, text, ...(machine && { machine: machine.name }) })
  }

  #event(event: ClusterEvent): void {
    this.#options.onEvent?.(event)
    this.#options.log?.event(event)
  }
}
