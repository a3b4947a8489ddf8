import { TimerQueue } from '@retrap/device/host'
import { DeviceHost, type DevicePlatform } from '@retrap/device-hosting'
import { IoDispatch, type IoRequest } from '@retrap/ioreq'
import type { DeviceModel } from '@retrap/device'
import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m } from '@retrap/p2m'
import { STATUS_RETRY } from '@retrap/replay'
import type { Architecture, CpuExit, DebugWatch, Paravirtual, TurnWatch, VirtualCpu } from './virtual-cpu.ts'
import type { DomainClock } from './clock.ts'
import type { KeptByHypervisor } from './kept-by-hypervisor.ts'
import { platformOf } from './domain-platform.ts'
import {
  beginRest,
  checkDevices,
  type DeviceParties,
  type DevicesState,
  type DomainRest,
  restoreDevices,
} from './domain-rest.ts'
import { DirtyLogs } from './memory/dirty-logs.ts'
import type { DomainExit, DomainOptions, DomainServer, Sleeper } from './domain-options.ts'
import { HvmError } from './errors.ts'
import { FrameHolds, ModelMappings } from './memory/model-mappings.ts'
import { SecondLevelFaults } from './memory/second-level.ts'
import { GuestMemory } from './memory/guest-memory.ts'
import { OwnedMemories } from './memory/owned-memories.ts'
import { Invalidations, OUTSIDE, type WaitingParty } from './memory/invalidation.ts'
import { MemoryChanges, type MemoryChange } from './memory/memory-change.ts'
import type { OutsideInputs } from './scheduling/turn-runner.ts'
import { RunLoop } from './scheduling/run-loop.ts'
import { RunState } from './scheduling/run-state.ts'
import type { RoundState } from './scheduling/deterministic-schedule.ts'

/** An exit after which a domain cannot be run on. */
type EndOfDomain = Exclude<DomainExit, { readonly reason: 'stopped' | 'pause' | 'sleep' | 'wake' }>

/** Exits after which it can be run on. */
const GOES_ON: ReadonlySet<DomainExit['reason']> = new Set(['stopped', 'pause', 'sleep', 'wake'])

/** More than any guest has. */
const MOST_FRAMES = 2 ** 40

/** Host time limit for a device model while the whole machine waits. */
const VIRTUAL_DEADLINE_MS = 30_000

/**
 * One guest: its memory map, device models and the loop that runs its vCPUs in turn.
 *
 * Its vCPUs and interrupt controllers come with an {@link Architecture}. `X86Domain` is the domain of a PC.
 */
export class Domain<V extends VirtualCpu = VirtualCpu, A extends Architecture<V> = Architecture<V>> {
  /** The machine memory of the domain. */
  readonly memory: MachineMemory
  /** References to frames of machine memory. */
  readonly frameCounts: FrameCounts
  /** Map of guest frames, empty at first. */
  readonly p2m: P2m
  /** Logs of the RAM that is written, by vCPUs and device models alike. */
  readonly dirtyLogs: DirtyLogs
  /** Memory owned by the domain's device models. */
  readonly ownedMemories: OwnedMemories
  /** Handles accesses that the map does not allow: RAM on demand, pagers, claimed writes. */
  readonly secondLevel: SecondLevelFaults
  /** RAM by guest-physical address. */
  readonly guestMemory: GuestMemory
  /** Virtual time. */
  readonly clock: DomainClock
  /** Timers of device models and interrupt controllers, on the domain's clock. */
  readonly timers: TimerQueue
  /** Dispatcher of accesses outside RAM. */
  readonly dispatch: IoDispatch
  /** Which RAM has left the guest, and which device models have still to be notified of it. */
  readonly invalidations: Invalidations
  /** The domain's interface for device models, in any thread or process. */
  readonly platform: DevicePlatform
  /** The server of the models that live in this process. */
  readonly devices: DeviceHost
  /** The mappings that device models of this thread have of its memory. */
  readonly mappings: ModelMappings
  /** The vCPUs and interrupt controllers. */
  readonly architecture: A
  /** @internal The vCPU whose thread has called, while its call is performed; −1: none. */
  callingVcpu = -1
  /** @internal Whether frames of its RAM may be those of its clones as well. */
  sharesFrames = false
  readonly #sleeper: Sleeper
  readonly #deviceDeadlineMs: number
  readonly #servers: DomainServer[] = []
  readonly #memoryChanges: MemoryChanges
  readonly #run: RunState
  readonly #loop: RunLoop
  #paravirtual: Paravirtual | null = null

  /**
   * @param build - makes the vCPUs and interrupt controllers, of a domain that has everything else
   */
  constructor(options: DomainOptions, build: (domain: Domain) => A) {
    this.memory = options.memory
    this.clock = options.clock
    this.#sleeper = options.sleeper
    this.#run = new RunState(options.sleeper)
    this.frameCounts = options.frameCounts ?? FrameCounts.create(options.memory)
    const { stage2 } = options
    this.p2m = P2m.create(options.memory, { counts: this.frameCounts, ...(stage2 !== undefined && { stage2 }) })
    this.dirtyLogs = new DirtyLogs(this.p2m)
    this.ownedMemories = new OwnedMemories({
      memory: options.memory,
      p2m: this.p2m,
      frameCounts: this.frameCounts,
      logs: this.dirtyLogs,
    })
    this.secondLevel = new SecondLevelFaults({
      p2m: this.p2m,
      owned: this.ownedMemories,
      logs: this.dirtyLogs,
      invalidations: {
        enter: (vcpu) => this.invalidations.enter(vcpu),
        leave: (before) => this.invalidations.leave(before),
      },
      dispatch: { server: (id) => this.dispatch.server(id) },
      vcpus: options.vcpus,
      run: this.#run,
    })
    this.guestMemory = new GuestMemory(options.memory, this.p2m, this.secondLevel)
    this.timers = new TimerQueue(options.clock)
    // A model may arm a timer from a promise, while nothing executes that would look at the timers.
    this.timers.onEarlier = () => options.sleeper.wake()
    const deviceDeadlineMs = options.deviceDeadlineMs ?? (options.clock.deterministic ? VIRTUAL_DEADLINE_MS : Infinity)
    this.#deviceDeadlineMs = deviceDeadlineMs
    this.dispatch = new IoDispatch({
      vcpus: options.vcpus,
      policy: options.policy ?? 'crash',
      answersLater: options.clock.deterministic,
      onComplete: (vcpu, mayRun) => {
        if (this.architecture.threads?.answered(vcpu) === true) return
        if (!this.#run.running) this.#sendNotices()
        this.#loop.schedule.answered(mayRun)
      },
      invalidations: {
        acknowledged: (server, epoch) => this.invalidations.acknowledged(server, epoch),
        serverChanged: (server) => this.invalidations.serverChanged(server),
      },
      onFailure: (failure) => {
        options.onFailure?.(failure)
        if (failure.policy !== 'crash') return
        this.stop({ reason: 'device-failure', failure })
        const what = `device model ${failure.device} has failed, and its domain with it`
        this.invalidations.fail(new HvmError('ERR_PENDING', what, []))
      },
      guestMemory: this.guestMemory,
      deadlineMs: deviceDeadlineMs,
      trace: options.trace,
      allocatePage: () => ({
        buffer: options.memory.buffer,
        byteOffset: options.memory.frames.allocate(0) * PAGE_BYTES,
      }),
      freePage: ({ byteOffset }) => options.memory.frames.free(byteOffset / PAGE_BYTES),
    })
    const frames = new FrameHolds(this.frameCounts)
    const checked = options.checkMappings ?? false
    this.mappings = new ModelMappings(options.memory, this.secondLevel, this.dirtyLogs, frames, checked)
    this.invalidations = new Invalidations({
      p2m: this.p2m,
      dispatch: this.dispatch,
      vcpus: options.vcpus,
      frames,
      onRaise: (actor) => this.#raised(actor),
      sendIdle: () => this.#sendIdle(),
    })
    this.#memoryChanges = new MemoryChanges(this.p2m, this.invalidations, this.#run)
    this.platform = platformOf(this, this.#run, () => this.#paravirtual)
    this.devices = new DeviceHost(this.dispatch, this.platform, { defer: options.deferDevices })
    this.architecture = build(this)
    const { vcpus } = this.architecture
    const { clock, timers, dispatch, invalidations, secondLevel, devices } = this
    const parts = { clock, timers, dispatch, invalidations, secondLevel, devices }
    this.#loop = new RunLoop(
      { ...parts, vcpus, servers: this.#servers, memoryChanges: this.#memoryChanges, deviceDeadlineMs },
      this.#run,
      options.sleeper,
      this.architecture.threads,
    )
    this.dirtyLogs.attach(vcpus)
    this.p2m.onChange((gfn, count, lost, kept, from) => {
      // A frame that may be written now is not in a TLB for writes yet.
      if (lost !== 0 || !kept) {
        const moved = from >= 0 ? from * PAGE_BYTES : undefined
        for (const vcpu of vcpus) vcpu.mapChanged(moved, this.p2m.translate(gfn * PAGE_BYTES))
      }
      if (this.secondLevel.changed(gfn, count)) this.wake()
    })
  }

  /** By number; the first is the bootstrap processor. */
  get vcpus(): readonly V[] {
    return this.architecture.vcpus
  }

  /**
   * Adds a device model.
   *
   * @throws IoreqError where a range is taken or invalid, or the model's name is
   */
  attach(model: DeviceModel): void {
    this.devices.attach(model)
  }

  /**
   * Adds a server for models in another thread or process: a reset of the domain resets it, and each turn services it.
   * The server must use this domain's `dispatch` and `platform`.
   */
  addServer(server: DomainServer): void {
    this.#servers.push(server)
    server.remote.onClosed(() => {
      const at = this.#servers.indexOf(server)
      if (at >= 0) this.#servers.splice(at, 1)
    })
    if (this.memory.shared) {
      // A new server announces no writes before its first rest, and no reads ever: do now whatever has to precede them, such as
      // copying and loading.
      this.dirtyLogs.beforeWrites?.(0, MOST_FRAMES)
      this.secondLevel.late?.finishNow()
    }
    if (this.clock.deterministic) server.remote.onUnsettled = () => this.#run.interrupt()
    // Answers and events wake a domain that waits; `watch` ends with the server.
    void server.watch?.()
  }

  /** Shows the guest a hypervisor's own interface. */
  plug(paravirtual: Paravirtual): void {
    this.#paravirtual = paravirtual
    this.mappings.hypervisor = paravirtual.kept ?? null
    this.#loop.turns.paravirtual = paravirtual
  }

  /** Makes `inputs` decide when outside inputs enter the domain, on deterministic time. */
  takeInputs(inputs: OutsideInputs): void {
    this.#loop.turns.inputs = inputs
  }

  /** Whether the guest sees a hypervisor's own interface. */
  get seesHypervisor(): boolean {
    return this.#paravirtual !== null
  }

  /** The part of the guest's state that its hypervisor keeps. */
  get kept(): KeptByHypervisor | undefined {
    return this.#paravirtual?.kept
  }

  /** Reports each vCPU's turn to `watch` from now on; null ends this. */
  watchTurns(watch: TurnWatch | null): void {
    this.#loop.turns.watch = watch
    this.wake()
  }

  /**
   * Tells `watch` of vCPUs that stop for a debugger from now on; null ends that. `run` ends with `pause` then, and the
   * domain is run on when they are to go on.
   */
  watchDebug(watch: DebugWatch | null): void {
    this.#loop.turns.debug = watch
    this.wake()
  }

  /** Closes the servers of remote models, and the host timer of deadlines. */
  close(): void {
    // `free` ends servers that reach memory which is about to be others': they come to rest first.
    if (!(this.memory.shared && this.sharesFrames)) this.#closeServers()
    this.architecture.threads?.close()
    this.dispatch.requests.close()
  }

  /** Makes an access as vCPU 0 would, before the guest runs: one that firmware would have made. */
  async access(request: IoRequest): Promise<void> {
    const pump = async (): Promise<void> => {
      await this.#sleeper.sleep(0)
      for (const server of this.#servers) server.pump?.()
    }
    while (!this.invalidations.resume(0)) await pump()
    let status = this.dispatch.submit(0, request)
    while (status === STATUS_RETRY) {
      await pump()
      status = this.dispatch.requests.take(0)
    }
  }

  /** Ends `run` with this exit, the first one given; `pause`, `sleep` and `wake` give way to all others. */
  stop(exit: DomainExit): void {
    this.#run.stop(exit)
  }

  /** Something has happened that a waiting domain must look at. */
  wake(): void {
    this.#run.wake()
  }

  /**
   * Changes the map from outside, as a toolstack does: vCPUs stop between two instructions (one that waits for a device
   * has stopped), the change is made, and each sends a notice before it goes on. To be called before the domain runs,
   * while it does, or after.
   *
   * @param party - a device model that changes the map, see `WaitingParty`: it does not wait for itself
   * @returns result of the change, after all device models have released the removed memory
   * @throws HvmError `ERR_DEADLOCK` if the wait cannot end; the change is in effect then, and also if the domain stops
   * first; errors of the change itself
   */
  async changeMemory<T>(change: (p2m: P2m) => T, party: WaitingParty = {}): Promise<T> {
    const { result, ticket } = await this.requestMemoryChange(change)
    await ticket.wait(party)
    return result
  }

  /** On deterministic time: the event loop has its turn, and no model has been asked for anything. */
  get hostHasTurn(): boolean {
    return this.#run.hostHasTurn
  }

  /** The number of the vCPU whose instruction is being executed, here or in a thread that has called; −1 for none. */
  get executingVcpu(): number {
    return this.#run.current?.id ?? this.callingVcpu
  }

  /** As {@link Domain.changeMemory}, but resolves as soon as the change is made, with a ticket to wait by. */
  requestMemoryChange<T>(change: (p2m: P2m) => T): Promise<MemoryChange<T>> {
    return this.#memoryChanges.request(change)
  }

  /**
   * With `checkMappings`, views of guest memory that were written after their mapping had been released: of each model's
   * last 64 released pieces.
   */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.mappings.keptViews()
  }

  /** Whether other threads reach the domain's RAM directly. They announce their writes where somebody wants that, and report them. */
  get reachedElsewhere(): boolean {
    return this.memory.shared && this.#servers.length > 0
  }

  /** Whether what some device models do is recorded, or comes from a recording: a checkpoint of the run has no state of theirs. */
  get hasRecordedModels(): boolean {
    return this.#servers.some(({ remote }) => remote.isRecorded)
  }

  /** Called when RAM was removed: vCPUs continue only through `resume`. */
  #raised(actor: number): void {
    const { current } = this.#run
    if (current !== null && (actor === OUTSIDE || actor === current.id)) current.cpu.stop()
    // Halted vCPUs have notices to send too.
    if (actor === OUTSIDE) this.wake()
  }

  /** Sends notices for vCPUs that do not run; false while `run` does it. */
  #sendIdle(): boolean {
    if (this.#run.running) return false
    this.#sendNotices()
    return true
  }

  #sendNotices(): void {
    for (const vcpu of this.vcpus) if (!vcpu.cpu.busy) this.invalidations.resume(vcpu.id)
  }

  /**
   * Frees the domain's machine memory for other domains, once its device models are at rest. The domain is unusable
   * afterwards. Memory that a model still holds at the deadline is never freed.
   *
   * @param deadlineMs - host time that device models may take
   */
  async free(deadlineMs: number): Promise<void> {
    const isAtRest = await beginRest(this.#deviceParties(), deadlineMs).then(
      () => true,
      () => false,
    )
    this.#closeServers()
    // A model that is not at rest may still write its memory, which is therefore kept.
    if (isAtRest) {
      this.ownedMemories.free()
      for (const server of this.dispatch.servers) server.destroy()
      // No party can access the map any more.
      this.invalidations.close()
    }
    this.mappings.forget()
    this.kept?.free(isAtRest)
    this.p2m.destroy()
    this.architecture.free?.()
  }

  #closeServers(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }

  /** Power-on state of everything but memory. */
  reset(): void {
    this.#resetParts()
    this.#paravirtual?.reset()
  }

  #resetParts(): void {
    this.#loop.reset()
    this.architecture.threads?.forget()
    // Cancel requests first, so that a model's handler is notified before the model's reset.
    for (const vcpu of this.vcpus) vcpu.cancelRequest()
    this.dispatch.reset()
    this.architecture.reset()
    this.devices.reset()
    for (const { remote } of this.#servers) remote.reset()
    for (const vcpu of this.vcpus) vcpu.reset()
  }

  /**
   * Brings every vCPU between two instructions, for a snapshot: those that wait for a device get its answer and finish
   * their instruction, and nothing else runs. No device is asked twice; what devices are asked for on the way is part of
   * the instruction. On deterministic time that may take turns of other vCPUs: the rest of the run is as if nobody had asked. A
   * guest that ends its domain by such an instruction has ended it. Not while `run` is under way.
   *
   * @param deadlineMs - host time that devices may take
   * @throws HvmError `ERR_PENDING` when it has passed: the domain is as it was, and can be run on or settled again
   */
  async settle(deadlineMs: number): Promise<void> {
    const waiting = await this.#loop.settle(deadlineMs)
    if (waiting.length === 0) return
    const who = waiting.length === 1 ? `vCPU ${waiting[0]} waits` : `vCPUs ${waiting.join(', ')} wait`
    throw new HvmError('ERR_PENDING', `${who} for a device that has not answered within ${deadlineMs} ms`, waiting)
  }

  /**
   * Brings every vCPU between two instructions (see `settle`) and the device models to rest. Not while `run` is under way.
   *
   * @param deadlineMs - host time that devices may take to answer, and models to come to rest
   * @returns the rest, which the caller ends with `end`
   * @throws DeviceError `ERR_DEVICE`, naming a model that failed or was late; HvmError `ERR_PENDING` as `settle`: the domain
   *   is as it was
   */
  async rest(deadlineMs: number): Promise<DomainRest> {
    await this.settle(deadlineMs)
    return beginRest(this.#deviceParties(), deadlineMs)
  }

  /**
   * Waits until device models have done what they were last given to do, where time is deterministic; those that are late have
   * failed. Nothing is executed. Not while `run` is under way.
   */
  async settleModels(): Promise<void> {
    await this.#loop.deterministic?.settleModels()
  }

  /** Saves all device models at rest; afterwards they go on. @throws as `rest`, and `DomainRest.saveDevices` */
  async saveDevices(deadlineMs: number): Promise<DevicesState> {
    const rest = await this.rest(deadlineMs)
    try {
      return await rest.saveDevices()
    } finally {
      rest.end()
    }
  }

  /**
   * Restores all device models of a domain with the same models, while `run` is not in progress.
   *
   * @returns the rest, which lasts until its `end`
   * @throws DeviceError `ERR_STATE`, `ERR_NOT_FOUND` where state and models do not fit
   */
  restoreDevices(state: DevicesState): Promise<DomainRest> {
    return restoreDevices(this.#deviceParties(), state)
  }

  /** Checks whether a saved state is of its device models. @throws DeviceError `ERR_STATE`, `ERR_NOT_FOUND` */
  checkDevices(state: DevicesState): void {
    checkDevices(this.#deviceParties(), state)
  }

  /**
   * Ends what is under way: device models are brought to rest, then vCPUs and models are reset, and what they wait for is
   * cancelled. To be followed by `restoreDevices`. Not while `run` is under way.
   *
   * @param deadlineMs - host time that models may take to come to rest
   * @throws DeviceError `ERR_DEVICE`, naming one that failed or was late: the domain is as it was
   */
  async abandon(deadlineMs: number): Promise<void> {
    await beginRest(this.#deviceParties(), deadlineMs)
    this.#resetParts()
    this.kept?.abandon()
  }

  /** Where the round of deterministic time is, for a snapshot; null on the host's clock. Not while `run` is under way. */
  saveRound(): RoundState | null {
    return this.#loop.deterministic?.save() ?? null
  }

  /** Goes on where a saved round was. @throws HvmError `ERR_STATE` for a state of another version */
  restoreRound(state: RoundState | null): void {
    if (state !== null) this.#loop.deterministic?.restore(state)
  }

  #deviceParties(): DeviceParties {
    const { devices, ownedMemories: memories } = this
    return { devices, servers: this.#servers, memories, deadlineMs: this.#deviceDeadlineMs }
  }

  /** Instructions retired by all vCPUs. */
  get instructions(): number {
    let sum = 0
    for (const vcpu of this.vcpus) sum += vcpu.cpu.retired
    return sum
  }

  /** The part of a vCPU's turn, in instructions, that the clock counts when the turn ends: of one on deterministic time. */
  get spent(): number {
    return this.#loop.deterministic?.spent ?? 0
  }

  /** Whether some vCPU may have written memory: until then all writes are counted. */
  get hasExecuted(): boolean {
    return this.#loop.turns.hasExecuted || this.instructions > 0
  }

  /** Why its guest has ended it, or a device model that failed: `run` returns that exit at once. Null: it can be run on. */
  get exit(): EndOfDomain | null {
    const { exit } = this.#run
    return exit === null || GOES_ON.has(exit.reason) ? null : (exit as EndOfDomain)
  }

  /** Whether its guest has ended it, or a device model that failed. */
  get hasEnded(): boolean {
    return this.exit !== null
  }

  /** Whether a vCPU's instruction is in progress, waiting for a response. */
  get isBusy(): boolean {
    return this.vcpus.some(({ cpu }) => cpu.busy)
  }

  /** Whether no vCPU executes although the domain runs, as in S3. Timers and device models continue. */
  get asleep(): boolean {
    return this.#loop.turns.asleep
  }

  set asleep(asleep: boolean) {
    this.#loop.turns.asleep = asleep
  }

  /** Runs until the guest or its owner ends it. After `stopped`, `pause`, `sleep` and `wake` it can be run on. */
  async run(): Promise<DomainExit> {
    const exit = await this.#loop.run()
    if (GOES_ON.has(exit.reason)) this.#run.exit = null
    // A party that waits for acknowledgements need not wait until the domain runs again.
    if (this.invalidations.awaited) this.#sendIdle()
    return exit
  }

  /**
   * Executes one vCPU outside of `run`, for a machine that replaces firmware, and fires due timers.
   *
   * @param vcpu - a vCPU of this domain
   * @param instructions - most instructions to retire
   * @returns why it has stopped; after `blocked`, {@link Domain.settle} waits for the device
   */
  runVcpu(vcpu: VirtualCpu, instructions: number): CpuExit {
    const before = vcpu.cpu.retired
    const exit = this.#loop.turns.execute(vcpu, instructions)
    this.clock.advance(vcpu.cpu.retired - before)
    this.timers.expire()
    return exit
  }

  /** Exits by kind. */
  get exits(): Readonly<Record<string, number>> {
    return this.#loop.turns.exits
  }

  /** Whether a PAUSE instruction ends the vCPU's turn, for another vCPU or for events of the event loop. */
  endsAtPause(): boolean {
    return this.#loop.schedule.endsAtPause()
  }
}
