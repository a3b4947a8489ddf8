import type { Turn } from '@retrap/engine'
import type { CpuCore } from './cpu-core.ts'
import type { InstructionFetch } from './instruction-fetch.ts'
import type { VcpuInterpreter } from './interpreter/shared-interpreter.ts'
import { type Pass, PASS_FETCHED, PASS_INSTRUCTION } from './access/pass.ts'
import * as S from './state/state-layout.ts'

/** Fetching an instruction from a device takes as long as several passes. */
const FETCHED_PASSES = 16

/** Executes single instructions: alone, in logged passes, or in place after a device's answer. */
export class InstructionPasses {
  readonly #core: CpuCore
  readonly #u32: Uint32Array
  readonly #pass: Pass
  readonly #turn: Turn
  readonly #interpreter: VcpuInterpreter
  readonly #fetch: InstructionFetch
  /** Logged passes of the current run, by the time that they take. */
  count = 0

  constructor(core: CpuCore, interpreter: VcpuInterpreter, fetch: InstructionFetch) {
    this.#core = core
    this.#u32 = core.u32
    this.#pass = core.pass
    this.#turn = core.turn
    this.#interpreter = interpreter
    this.#fetch = fetch
  }

  /** Runs generated code from the pinned record. */
  runPinned(): number {
    const { state } = this.#core
    return this.#interpreter.run(state, state + S.S_PINNED)
  }

  /** Executes the instruction at RIP without a log. STATUS_RESTART becomes logged passes where a device holds its bytes. */
  executeAlone(): number {
    this.#pass.beginAlone(false)
    this.#turn.depart()
    this.#turn.allow(1)
    const status = this.runPinned()
    this.#pass.endAlone()
    this.#turn.settle(1)
    this.#turn.arrive(status)
    return status
  }

  /** Starts the current instruction again in logged passes: it has met a device. */
  restartLogged(): number {
    this.#fetch.pin(this.#u32[S.S_RECORD >>> 2]!)
    this.#pass.startLogging(PASS_INSTRUCTION)
    return this.loggedPass()
  }

  /** Starts the next instruction, whose bytes a device holds. */
  startFetched(): number {
    this.#pass.startLogging(PASS_FETCHED)
    return this.loggedPass()
  }

  /** Completes, alone, an instruction that waits in place at its access, if there is an answer. */
  completeAccess(): number {
    const answer = this.#core.device.answer()
    return answer === S.STATUS_DONE ? this.completeAnswered() : answer
  }

  /** Executes, alone, the instruction whose access has been answered. */
  completeAnswered(): number {
    this.#pass.beginAlone(true)
    const status = this.#runMissing()
    // No writes are held, and the mode has not changed.
    this.#turn.settle(1)
    this.#turn.arrive(status)
    this.#pass.finish()
    this.#core.mode.useSet()
    return status
  }

  /** Runs the instruction in the pinned record, every access of which misses the TLB. */
  #runMissing(): number {
    this.#core.mode.missAll()
    this.#turn.depart()
    this.#turn.allow(1)
    this.#u32[S.S_ATTENTION >>> 2] = 0
    return this.runPinned()
  }

  /** Makes one logged pass of the instruction in the pinned record, which PASS_FETCHED fetches first. */
  loggedPass(): number {
    this.#pass.beginLogged()
    const fetches = this.#pass.state === PASS_FETCHED
    this.count += fetches ? FETCHED_PASSES : 1
    const fetched = fetches ? this.#fetch.pinLogged(this.#pass.log) : S.STATUS_DONE
    if (fetched !== S.STATUS_DONE) return this.endPass(fetched)
    const status = this.#runMissing()
    if (status !== S.STATUS_RETRY && status !== S.STATUS_ERROR) {
      this.#turn.settle(1)
      this.#turn.arrive(status)
    }
    return this.endPass(status)
  }

  /** Ends a logged pass of an instruction or a delivery, which has ended with a status. */
  endPass(status: number): number {
    if (status === S.STATUS_RETRY) {
      this.#pass.suspend()
      return status
    }
    if (status !== S.STATUS_FAULT && status !== S.STATUS_ERROR) this.#core.logged.commit()
    this.#pass.log.end()
    this.#pass.finish()
    this.#core.mode.changed()
    return status
  }
}
