// Steps over calls and out of functions, in both directions.
import type { FollowedVcpu } from '@retrap/hvm'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { Stopper } from './replay-hits.ts'
import type { ReplayStop, TravelledMachine } from './travelling-machine.ts'

/** Bytes of arguments that a function takes off the stack as it returns: no other frame is as near. */
const MOST_POPPED = 256n

/** A place in the run of a vCPU. */
export interface Place {
  /** Address of the next instruction. */
  readonly address: bigint
  /** The linear stack pointer. */
  readonly stack: bigint
  /** Address of the page tables for user code: another process may use the same linear addresses. */
  readonly tables: bigint | undefined
}

/** A place that a function or a handler may return to. */
export interface Caller {
  readonly place: Place
  /** Bytes by which the stack pointer may be higher after the return. */
  readonly room?: bigint
  /** Whether an interrupt or exception was delivered at that place. */
  readonly isInterrupted: boolean
}

/** The code that a vCPU is in, which steps over calls read. */
export interface SteppedCode {
  /** The address of the next instruction. */
  readonly place: Place
  /** Bytes of the next instruction if it is a call, or else comes back to behind it; 0 for another one. */
  readonly callBytes: number
  /** The next instruction returns: `popped` are the bytes of arguments that it takes off the stack; undefined: it does not. */
  readonly returning: { readonly popped: bigint; readonly isFromInterrupt: boolean } | undefined
  /** Places that may be returned to, the nearest first. */
  readonly callers: readonly Caller[]
  /** Addresses at which a call may lie that returns to an address. */
  callsBefore(address: bigint): readonly bigint[]
  /** Calls `told` with the vector of each interrupt and exception that the vCPU takes, before it does. */
  watchEvents(told: (vector: number) => void): { remove(): void }
}

/** A place at which a step ends. */
interface Goal extends Place {
  /** The stack pointer may be above the place's by less than this number of bytes. */
  readonly above: bigint
  /** An interrupt or exception is delivered at the place, backwards; else the instruction is next. */
  readonly isInterrupted: boolean
}

/** The part of a debugger that the steps need. */
export interface SteppedRun {
  readonly debug: {
    /** The replay's current machine. */
    readonly pc: TravelledMachine
    step(options: MachineRunOptions): Promise<ReplayStop>
    stepBack(options: MachineRunOptions): Promise<ReplayStop>
  }
  /** Reads the code that a vCPU is in. */
  stepped(vcpu: FollowedVcpu): SteppedCode
  /** Runs to the next stop, in a direction, with further stops. */
  until(direction: Direction, stops: readonly Stopper[], options: MachineRunOptions): Promise<ReplayStop>
}

/** A direction in a run. */
export type Direction = 'forwards' | 'back'

/**
 * Steps of one vCPU. A stack pointer identifies a frame: recursive calls and interrupt handlers on the same stack have lower
 * ones, and other stacks lie at other addresses.
 */
export class CallSteps {
  readonly #run: SteppedRun
  readonly #cpu: number

  /** @throws MachineError `ERR_OPTION` for a vCPU that does not exist */
  constructor(run: SteppedRun, cpu: number) {
    this.#run = run
    this.#cpu = cpu
    if (run.debug.pc.domain.vcpus[cpu] === undefined) throw new MachineError('ERR_OPTION', `there is no vCPU ${cpu}`)
  }

  /** See `ReplayDebugger.stepOver`. */
  async over(options: MachineRunOptions): Promise<ReplayStop> {
    const { place: from, callBytes } = this.#code
    if (callBytes > 0) return this.#to('forwards', [behind(from, from.address + BigInt(callBytes))], options)
    for (;;) {
      const { interrupts } = this.#vcpu.cpu.counts
      const stop = await this.#one((limits) => this.#run.debug.step(limits), options)
      if (stop.reason !== 'step' || this.#vcpu.cpu.counts.interrupts === interrupts) return stop
      // A handler has begun before the instruction, and returns to it.
      const back = await this.#to('forwards', [{ ...from, above: 1n, isInterrupted: false }], options)
      if (back.reason !== 'step') return back
    }
  }

  /** See `ReplayDebugger.reverseStepOver`. */
  async overBack(options: MachineRunOptions): Promise<ReplayStop> {
    for (;;) {
      const to = this.#code.place
      const stop = await this.#one((limits) => this.#run.debug.stepBack(limits), options)
      if (stop.reason !== 'step') return stop
      const { returning } = this.#code
      if (returning === undefined) return stop
      const stack = to.stack - returning.popped
      const calls = this.#code.callsBefore(to.address).map((address) => before({ ...to, stack }, address))
      const goals = returning.isFromInterrupt ? [...calls, interruptedAt(to)] : calls
      // A RET that nothing has called is a jump.
      if (goals.length === 0) return stop
      const found = await this.#to('back', goals, options)
      if (found.reason !== 'step' || this.#code.place.address !== to.address) return found
    }
  }

  /** See `ReplayDebugger.stepOut`. */
  async out(options: MachineRunOptions): Promise<ReplayStop> {
    const callers = this.#callers().map(({ place, room, isInterrupted }): Goal =>
      isInterrupted ? { ...place, above: 1n, isInterrupted: false } : behind(place, place.address, room),
    )
    return this.#to('forwards', callers, options)
  }

  /** See `ReplayDebugger.reverseStepOut`. */
  async outBack(options: MachineRunOptions): Promise<ReplayStop> {
    const goals = this.#callers().flatMap(({ place, room, isInterrupted }): Goal[] =>
      isInterrupted
        ? [interruptedAt(place)]
        : this.#code.callsBefore(place.address).map((address) => before(place, address, room)),
    )
    return this.#to('back', goals, options)
  }

  get #vcpu(): FollowedVcpu {
    return this.#run.debug.pc.domain.vcpus[this.#cpu]!
  }

  get #code(): SteppedCode {
    return this.#run.stepped(this.#vcpu)
  }

  /** Steps until the vCPU itself has executed an instruction, or not. */
  async #one(
    step: (options: MachineRunOptions) => Promise<ReplayStop>,
    options: MachineRunOptions,
  ): Promise<ReplayStop> {
    const { retired } = this.#vcpu.cpu
    for (;;) {
      const stop = await step(options)
      if (stop.reason !== 'step' || this.#vcpu.cpu.retired !== retired) return stop
      if (options.signal?.aborted === true) return { reason: 'stopped' }
    }
  }

  /** Runs to the next of some places in a direction. Other stops end the run, too. @returns `step` at a place */
  async #to(direction: Direction, goals: readonly Goal[], options: MachineRunOptions): Promise<ReplayStop> {
    const stops = goals.map((goal): Stopper => ({
      set: (debug, handler) => {
        if (goal.isInterrupted) return this.#watchEvents(goal, handler)
        return debug.breakpoint(goal.address, (stop) => (this.#isAt(goal, stop.cpu) ? handler(stop) : undefined))
      },
    }))
    const stop = await this.#run.until(direction, stops, options)
    const isOwn = stop.reason === 'breakpoint' || stop.reason === 'handler'
    return isOwn && goals.some((goal) => this.#isAt(goal, stop.cpu)) ? { reason: 'step' } : stop
  }

  #isAt({ above, ...goal }: Goal, cpu: number): boolean {
    if (cpu !== this.#cpu) return false
    const { address, stack, tables } = this.#code.place
    return address === goal.address && tables === goal.tables && stack >= goal.stack && stack < goal.stack + above
  }

  /** Notes each interrupted position of the vCPU without stopping it. */
  #watchEvents(goal: Goal, handler: Parameters<Stopper['set']>[1]): { remove(): void } {
    return this.#code.watchEvents((vector) => {
      if (this.#isAt(goal, this.#cpu)) handler({ kind: 'handler', cpu: this.#cpu, vector, errorCode: 0, address: 0n })
    })
  }

  /** Places on the stack that a function or a handler may return to, the nearest first. @throws MachineError `ERR_OPTION` */
  #callers(): readonly Caller[] {
    const { callers } = this.#code
    if (callers.length > 0) return callers
    throw new MachineError(
      'ERR_OPTION',
      'no return address is near the stack pointer, or the code is of 16 bits: there is no caller to go to',
    )
  }
}

const behind = (place: Place, address: bigint, room = 0n): Goal => ({
  ...place,
  address,
  above: MOST_POPPED + room,
  isInterrupted: false,
})
const before = (place: Place, address: bigint, room = 0n): Goal => ({
  ...place,
  address,
  above: 1n + room,
  isInterrupted: false,
})
const interruptedAt = (place: Place): Goal => ({ ...place, above: 1n, isInterrupted: true })
