import type { MachineDebugger, Pc } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import type { MachineChange, MemoryPlace } from '../debugger.ts'
import { WebError } from '../errors.ts'
import { changeMachine, readMemory } from './changes.ts'

/** Within this time a vCPU executes an instruction, unless it waits for a device or an interrupt. */
const STEP_MS = 250
/** The time passes in this many parts: while the host has no processor for this Worker, no more than one of them. */
const PARTS = 10

/** The part of a machine's life that its stepper needs. */
export interface SteppedLife {
  /** Stops the machine between two instructions. */
  rest(): Promise<void>
  /** Lets the machine run. @returns settles when it stands still again, or has ended */
  go(): Promise<void>
  /** @throws WebError `ERR_MACHINE` for a machine that is off */
  powered(): Pc | ArmMachine
}

/** Steps a machine by single instructions, and changes its state. Loaded on demand. */
export class Stepper {
  readonly #life: SteppedLife
  /** Once somebody has stepped through this machine; it keeps the machine still until it runs on. */
  debugger: MachineDebugger | null = null
  /** Resolves when all requested steps are done. */
  #done: Promise<unknown> = Promise.resolve()

  constructor(life: SteppedLife) {
    this.#life = life
  }

  /** Settles when no step is under way. */
  idle(): Promise<unknown> {
    return this.#done
  }

  /** Steps a vCPU by one instruction. @returns whether it was executed @throws WebError for a machine that is off */
  step(vcpu: number): Promise<boolean> {
    return this.#next(() => this.#step(vcpu))
  }

  /** Changes the machine, which stands still until it runs on. @throws WebError `ERR_OPTION`; WebError for a machine that is off */
  change(change: MachineChange): Promise<void> {
    return this.#next(async () => {
      changeMachine(await this.#held(), change)
    })
  }

  /** Reads memory of the machine, which may run. @throws as {@link Stepper.change} */
  async readMemory(place: MemoryPlace): Promise<Uint8Array<ArrayBuffer>> {
    return readMemory(await this.#life.powered().debugger(), place)
  }

  /** Runs an action after all earlier ones. */
  #next<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#done.then(action)
    this.#done = done.catch(() => {})
    return done
  }

  /** The machine's debugger, which keeps it still. */
  async #held(): Promise<MachineDebugger> {
    await this.#life.rest()
    const tool = (this.debugger ??= await this.#life.powered().debugger())
    await tool.stop()
    return tool
  }

  async #step(vcpu: number): Promise<boolean> {
    // A paused machine stays paused, although it now may run.
    const tool = await this.#held()
    if (!Number.isInteger(vcpu) || vcpu < 0 || vcpu >= tool.cpus)
      throw new WebError('ERR_OPTION', `vCPU ${vcpu}: expected 0 to ${tool.cpus - 1}`)
    const over = this.#life.go()
    const executed = tool.step(vcpu).then(
      () => true,
      () => false,
    )
    const { promise: late, resolve: isLate } = Promise.withResolvers<void>()
    let timer: ReturnType<typeof setTimeout> | undefined
    const wait = (parts: number): void => {
      if (parts === 0) isLate()
      else timer = setTimeout(() => wait(parts - 1), STEP_MS / PARTS)
    }
    wait(PARTS)
    const isDone = await Promise.race([executed, Promise.race([late, over]).then(() => false)])
    clearTimeout(timer)
    await this.#life.rest()
    // Otherwise it would stop after that instruction, whenever that is executed. A machine that has ended has nothing to stop.
    if (!isDone) await tool.stop().catch(() => {})
    return isDone
  }
}
