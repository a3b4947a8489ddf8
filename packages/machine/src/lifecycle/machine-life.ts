import type { DeviceModel } from '@retrap/device'
import { describeThrown } from '@retrap/device/host'
import type { DevicePlatform } from '@retrap/device-hosting'
import type { Domain, DomainRest, DomainServer, FrameSet, GuestPages } from '@retrap/hvm'
import type { DeviceFailure, IoDispatch } from '@retrap/ioreq'
import { MachineError } from '../errors.ts'
import type { BootModule } from '../loaders/index.ts'
import { type DescribeCrash, machineExit, type MachineExit } from './machine-exit.ts'
import { type FinalExit, Sleep, type SleepingDomain, type SleepParts } from './sleep.ts'

export type MachineActivity = 'running' | 'asleep' | 'stopped'

/** Starts a server whose models live in another thread or process. */
export type StartDeviceServer = (
  dispatch: IoDispatch,
  platform: DevicePlatform,
  realTime: boolean,
) => DomainServer | Promise<DomainServer>

/** The kernel that a machine without firmware starts after a reset, where its options have none any more. */
export interface ResetImages {
  /** See the options. */
  readonly kernel?: Uint8Array | undefined
  /** See the options. */
  readonly initrd?: Uint8Array | undefined
  /** Modules of a PC's kernel. */
  readonly modules?: readonly BootModule[] | undefined
}

/** The part of an `AbortSignal` that is used. */
export interface StopSignal {
  /** Whether the signal has been given. */
  readonly aborted: boolean
  /** Calls `listener` when the signal is given. */
  addEventListener(type: 'abort', listener: () => void): void
  /** Takes a listener back. */
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Options of one run of a machine. */
export interface MachineRunOptions {
  /** Stops the machine. */
  readonly signal?: StopSignal | undefined
  /** Host time after which the machine is stopped. */
  readonly timeoutMs?: number | undefined
}

/** Limits of `save` of a machine. */
export interface MachineSaveOptions {
  /** Host time that devices may take to bring their work to rest, in milliseconds. */
  readonly deadlineMs?: number | undefined
  /**
   * Called when the machine may run on, with the milliseconds for which it stood still. A PC's RAM is copied afterwards, as
   * it was.
   */
  readonly onResumed?: ((pauseMs: number) => void) | undefined
  /**
   * Logs the guest's later writes, so that a `restore` to this instant, or a save that names it in `since`, copies only
   * written frames. Default false: writes are logged after the first `restore`. Default false: it is noted after the first
   * `restore`.
   */
  readonly forRestore?: boolean | undefined
  /**
   * The pages of an earlier snapshot of this machine, of a save with `forRestore`. Where the machine has a log of later
   * writes, the new snapshot has the written pages alone, zeros among them, and sets `onlyWritten`. Default: all are saved.
   */
  readonly since?: GuestPages | undefined
  /** Called while the machine stands still: the frames of RAM to save, as a migration sent the others before. Default: all. */
  readonly frames?: (() => FrameSet) | undefined
}

/** Options of a machine's `restore`. */
export interface MachineRestoreOptions {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
  /**
   * Called when all pending operations of devices have completed, before any device resumes: the time to restore media. An
   * earlier restore could be overwritten by a pending write. If the callback throws, the machine is closed.
   */
  readonly atRest?: (() => void) | undefined
}

/** Host time for the answers to instructions that are under way at a reset from outside. */
const RESET_DEADLINE_MS = 1000
/** A disk may take seconds. */
export const SAVE_DEADLINE_MS = 10_000

/** A domain as {@link MachineLife} sees it, of any processor. */
type LivingDomain = Pick<
  Domain,
  'addServer' | 'asleep' | 'clock' | 'close' | 'devices' | 'dispatch' | 'exit' | 'platform' | 'rest' | 'settle' | 'stop'
>

/** The parts of a {@link MachineLife}. */
export interface LifeOptions extends Pick<SleepParts, 'boot' | 'onSleep' | 'sleeper'> {
  /** Models of the caller. */
  readonly models: readonly DeviceModel[]
  /** Describes a crash of a vCPU. */
  readonly describe: DescribeCrash
  /** See `MachineOptions.onReset`. */
  readonly onReset?: (() => ResetImages | void | Promise<ResetImages | void>) | undefined
  /** See `PcOptions.tripleFault`. */
  readonly tripleFault?: 'end' | 'reset' | undefined
}

// The bits of a machine's state; none: it is stopped, and can be run.

/** The machine runs. */
const RUN = 1
/** That run is kept still, by a debugger. */
const HELD = 2
/** The guest has ended the machine, or it was closed: only a restored snapshot makes it run again. */
const OVER = 4
/** The machine was closed: nothing can be done with it any more. */
const CLOSED = 8

/** The first failure of a device model: it may be why its machine cannot start. */
export class FirstFailure {
  #failure: DeviceFailure | undefined

  /** Notes a failure. */
  note(failure: DeviceFailure): void {
    this.#failure ??= failure
  }

  /** The error of a machine whose servers or devices threw this while it was made. */
  notStarted(thrown: unknown): MachineError {
    const why = describeThrown(this.#failure?.cause ?? thrown)
    return new MachineError('ERR_DEVICES', `the device models cannot be started: ${why}`, { cause: thrown })
  }
}

/** Runs asynchronous actions one after another. */
export class OneByOne {
  /** Resolves when the action that was queued last is done. */
  #last: Promise<unknown> = Promise.resolve()

  /** Runs an action after all actions that were queued before. */
  do<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#last.then(action)
    this.#last = done.then(
      () => undefined,
      () => undefined,
    )
    return done
  }
}

/** The facts about a machine that is kept still. */
export interface HeldMachine {
  /** Called when no vCPU executes; perhaps repeatedly. */
  still(): void
  /** The machine has ended. */
  over(): void
}

/** The life of a machine of any board: servers of models start, it runs, is stopped, ends and is closed. */
export class MachineLife {
  /** The domain's way through S3. */
  readonly sleep: Sleep
  /** Serializes the operations that save or replace the machine's state. */
  readonly inTurn: OneByOne = new OneByOne()
  /**
   * Resets the domain, and starts its firmware or kernel again. RAM and the contents of batteries and media stay; to lose them
   * as without power, make a new machine.
   *
   * @param images - replace the options' images
   */
  startAgain: (images: ResetImages) => Promise<void> = async () => undefined
  readonly #domain: LivingDomain
  readonly #options: Omit<LifeOptions, 'boot' | 'models'>
  /** Resolve when the servers in other threads or processes have their models. */
  readonly ready: Promise<void>[] = []
  /** Servers that have ended. */
  readonly #gone: StartDeviceServer[] = []
  /** Parts with buffered output, which they flush one after another when a run ends. */
  readonly outlets: { flush(hasEnded: boolean): unknown }[]
  /** Parts that are notified, one after another, that the machine no longer uses its back ends. */
  readonly leavers: { leave(): void }[] = []
  /** Some of `RUN`, `HELD`, `OVER` and `CLOSED`. */
  #state = 0
  readonly #pauses: (() => Promise<void>)[] = []
  /** The debugger that may keep the machine still. */
  #holder: HeldMachine | undefined
  /** Settles when the machine may run again. */
  #hold: PromiseWithResolvers<void> | undefined
  /** Resolves when the current run has to end. */
  #stopping = Promise.withResolvers<void>()
  #isStopping = false
  #pausing: Promise<void> | undefined

  constructor(domain: LivingDomain & SleepingDomain, { models, boot, ...options }: LifeOptions) {
    this.#domain = domain
    this.#options = options
    this.outlets = models.filter(isBuffered)
    this.sleep = new Sleep(domain, { ...options, boot, life: this })
  }

  /** The machine's activity. */
  get state(): MachineActivity {
    if (this.#domain.asleep) return 'asleep'
    return this.#has(RUN) ? 'running' : 'stopped'
  }

  /** Whether the machine was closed, or ended by its guest: nothing runs it again. */
  get isOver(): boolean {
    return this.#has(OVER)
  }

  #has(flag: number): boolean {
    return (this.#state & flag) !== 0
  }

  /** Starts further servers, and waits until all servers have their models. */
  async startServers(starts: readonly StartDeviceServer[]): Promise<void> {
    const { dispatch, platform, clock } = this.#domain
    for (const start of starts) {
      const server = await start(dispatch, platform, !clock.deterministic)
      this.#domain.addServer(server)
      this.ready.push(server.remote.ready)
      server.remote.onClosed(() => this.#gone.push(start))
    }
    await Promise.all(this.ready)
  }

  /** Starts the servers again that have ended, for a machine that goes on without the models which fail. */
  async startGoneServers(): Promise<void> {
    await this.startServers(this.#gone.splice(0))
  }

  /** Runs until the guest or the caller ends it. @throws MachineError `ERR_STATE` if it runs already */
  async run({ signal, timeoutMs }: MachineRunOptions): Promise<MachineExit> {
    if (this.#has(RUN)) throw new MachineError('ERR_STATE', 'the machine runs already')
    this.#state |= RUN
    let timedOut = false
    this.#stopping = Promise.withResolvers<void>()
    this.#isStopping = false
    const stop = (): void => this.stop()
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            stop()
          }, timeoutMs)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    try {
      await this.#pausing
      await this.#whileHeld()
      let exit = await this.sleep.run()
      while (this.#goesOnAfter(exit)) {
        await this.#startAgain()
        // A guest that resets its machine again and again leaves the host its turns.
        await this.#options.sleeper.sleep(0)
        await this.paused()
        exit = await this.sleep.run()
      }
      if (exit.reason !== 'stopped') this.#end()
      for (const part of this.outlets) await part.flush(exit.reason !== 'stopped')
      return timedOut && exit.reason === 'stopped' ? { reason: 'timeout' } : this.#exitOf(exit)
    } finally {
      if (timer !== undefined) clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      this.#state &= ~RUN
      await this.#donePauses()
      if (this.isOver) this.#holder?.over()
      if (this.#has(CLOSED)) this.#leave()
    }
  }

  #exitOf(exit: FinalExit): MachineExit {
    const { tripleFault, describe } = this.#options
    return exit.reason === 'vcpu-shutdown' && tripleFault === 'reset'
      ? { reason: 'reset' }
      : machineExit(exit, describe)
  }

  /** Whether the guest has reset the machine, which starts again in place. */
  #goesOnAfter(exit: FinalExit): boolean {
    return this.#options.onReset !== undefined && this.#exitOf(exit).reason === 'reset'
  }

  async #startAgain(): Promise<void> {
    const wasAsleep = this.#domain.asleep
    await this.startAgain((await this.#options.onReset?.()) ?? {})
    if (wasAsleep) this.#options.onSleep?.(false)
    // The reset was the reason to end: a stop that came after it was not noted.
    if (this.#isStopping) this.#domain.stop({ reason: 'stopped' })
  }

  /** Resets the machine, which starts again in place; one that its guest has ended can be run again. @throws as `restart` */
  reset(images: ResetImages): Promise<void> {
    return this.restart(async (accepted) => {
      // Instructions end first, as where the guest resets the machine; one that waits for too long is cancelled.
      await this.#domain.settle(RESET_DEADLINE_MS).catch(() => undefined)
      accepted()
      await this.startAgain(images)
    })
  }

  /** Ends the present or else the next run, even one that a debugger keeps still. */
  stop(): void {
    this.#isStopping = true
    this.#domain.stop({ reason: 'stopped' })
    this.#stopping.resolve()
  }

  /**
   * Runs an action while no vCPU executes, between two instructions; a run that is under way goes on afterwards.
   *
   * @throws MachineError `ERR_STATE` if the machine has ended; errors of `action`
   */
  pause<T>(action: () => Promise<T>): Promise<T> {
    return this.#whileStill(() => {
      if (this.isOver) throw new MachineError('ERR_STATE', 'the machine has ended')
      return action()
    })
  }

  /**
   * Runs an action that gives the machine another state, while no vCPU executes; a run that is under way goes on
   * afterwards. A machine that its guest has ended can be run again then.
   *
   * @param action - calls `accepted` after its devices have dropped their old state: a later failure leaves the machine in
   * neither state, and closes it
   * @param atRest - called by `accepted`
   * @throws MachineError `ERR_STATE` if the machine was closed; errors of `action`
   */
  restart(action: (accepted: () => void) => Promise<void>, atRest?: () => void): Promise<void> {
    return this.#whileStill(async () => {
      if (this.#has(CLOSED)) throw new MachineError('ERR_STATE', 'the machine was closed')
      const wasAsleep = this.#domain.asleep
      let isBegun = false
      try {
        await action(() => {
          isBegun = true
          atRest?.()
        })
      } catch (error) {
        if (isBegun) {
          this.#domain.stop({ reason: 'stopped' })
          this.close()
        }
        throw error
      }
      if (this.#domain.asleep !== wasAsleep) this.#options.onSleep?.(this.#domain.asleep)
      if (!this.#has(CLOSED)) this.#state &= ~OVER
    })
  }

  /**
   * Brings the machine between two instructions, while no vCPU executes. A machine that was stopped in the middle of an
   * instruction finishes it, as if nothing had stopped the machine. By that instruction its guest may sleep, reset or end it.
   *
   * @throws MachineError `ERR_STATE` if settling has ended the machine; whatever `Domain.settle` throws
   */
  async settle(deadlineMs: number): Promise<void> {
    await this.#domain.settle(deadlineMs)
    this.sleep.settled()
    const { exit } = this.#domain
    if (exit === null) return
    if (this.#goesOnAfter(exit)) return this.#startAgain()
    this.#end()
    throw new MachineError('ERR_STATE', 'the machine has ended')
  }

  /** Settles the machine, and brings its devices to rest. @throws as {@link MachineLife.settle} and `Domain.rest` */
  async rest(deadlineMs: number): Promise<DomainRest> {
    await this.settle(deadlineMs)
    return this.#domain.rest(deadlineMs)
  }

  /** Whether vCPUs may execute just now. */
  get #executes(): boolean {
    return (this.#state & (RUN | HELD)) === RUN
  }

  #whileStill<T>(action: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pauses.push(async () => {
        await (async () => action())().then(resolve, reject)
      })
      if (this.#executes) this.#domain.stop({ reason: 'pause' })
      else void this.#donePauses()
    })
  }

  /** Sets the party that may hold the machine: a debugger. */
  set holder(holder: HeldMachine | undefined) {
    this.#holder = holder
  }

  /** Keeps the machine still from the next instruction on, until {@link MachineLife.release}. */
  hold(): void {
    this.#hold ??= Promise.withResolvers<void>()
    if (this.#executes) this.#domain.stop({ reason: 'pause' })
    else this.#holder?.still()
  }

  /** Resumes the machine. */
  release(): void {
    this.#hold?.resolve()
    this.#hold = undefined
  }

  /** Waits until no party keeps the machine still, or the run is to end. */
  async #whileHeld(): Promise<void> {
    for (let hold = this.#hold; hold !== undefined; hold = this.#hold) {
      this.#state |= HELD
      this.#holder?.still()
      const goesOn = await Promise.race([hold.promise.then(() => true), this.#stopping.promise.then(() => false)])
      this.#state &= ~HELD
      if (!goesOn) return
    }
  }

  /** Runs actions that wait for a pause, and waits while the machine is kept still. */
  async paused(): Promise<void> {
    await this.#donePauses()
    await this.#whileHeld()
    // Pauses that were requested meanwhile.
    await this.#donePauses()
  }

  #donePauses(): Promise<void> {
    // An idle machine would end before it takes note of the pause.
    if (this.#pauses.length === 0) return this.#pausing ?? Promise.resolve()
    return (this.#pausing ??= this.#doPaused())
  }

  async #doPaused(): Promise<void> {
    for (let next = this.#pauses.shift(); next !== undefined; next = this.#pauses.shift()) await next()
    this.#pausing = undefined
  }

  /** Ends the threads and processes of device models. */
  close(): void {
    const runs = this.#has(RUN)
    this.#end()
    if (!runs) this.#holder?.over()
    this.#domain.close()
    this.#state |= CLOSED
    if (!runs) this.#leave()
  }

  /** Closes the devices, and makes the machine's parts leave their back ends. */
  #leave(): void {
    this.#domain.devices.close()
    for (const part of this.leavers) part.leave()
  }

  /** The machine does not run again: ends waits for an answer of its guest. */
  #end(): void {
    this.#state |= OVER
    this.#domain.devices.giveUpUnplugs()
  }
}

/** Whether a model buffers output for the host: serial ports, the debug console. */
function isBuffered(model: DeviceModel): model is DeviceModel & { flush(): void } {
  return 'flush' in model && typeof model.flush === 'function'
}
