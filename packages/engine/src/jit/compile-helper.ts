import type { CodeMark } from './code-marks.ts'
import type { CompileJob } from './compile-job.ts'
import type { CompiledInstructionSet } from './instruction-set.ts'
import type { CodeSource } from './unit-code.ts'
import type { CompilerTarget } from './unit-compiler.ts'

/** A thread that compiles: messages are copied to the other side, and `WebAssembly.Module`s are shared with it. */
export interface CompileHelper {
  /** Places that a machine compiles by itself first, since a short run is not worth another thread; default 0. */
  readonly placesBefore?: number
  /**
   * Opens a connection; the first of them may start the thread.
   *
   * @param hear - called with each answer of the other side, never while a processor executes
   * @param failed - called when the thread has ended: no answer comes any more
   */
  connect(hear: (answer: HelperAnswer) => void, failed: () => void): HelperPort
}

/** A connection to a {@link CompileHelper}. */
export interface HelperPort {
  /** Posts to the other side, where a {@link CompileServer} receives it. */
  post(message: HelperMessage): void
  /** Delivers answers that have arrived, where the host can look: called before a turn, which may delay messages for long. */
  look?(): void
}

/** The code that a connection compiles. */
export interface HelperKind {
  /** Name of the instruction set. */
  readonly name: string
  readonly target: CompilerTarget
  /** The data that the instruction set's emitter is made from on the other side. */
  readonly emitter: object
}

/** A message to a helper: the first one describes the code to compile. */
export type HelperMessage = HelperKind | { readonly number: number; readonly job: CompileJob<string> }

/** Code that a helper has compiled. */
export interface HelpedUnit {
  /** The `WebAssembly.Module`, and its bytes. */
  readonly compiled: object
  readonly module: Uint8Array
  readonly marks: readonly CodeMark[]
  readonly source: CodeSource
  /** The module of the function by which it is left, where it has not been posted yet. */
  readonly leave?: object | undefined
}

/** The answer to a job. */
export interface HelperAnswer {
  /** Number of the job. */
  readonly number: number
  /** Processor time that the job took, in milliseconds. */
  readonly milliseconds: number
  /** The code, or the reason for its absence. */
  readonly unit: HelpedUnit | string
}

/** Most jobs without an answer: later ones would find their code cold. */
const MOST_JOBS = 8

/** Has units compiled by a {@link CompileHelper}, as long as it lives. */
export class RemoteCompiler<Form> {
  readonly #helper: CompileHelper
  readonly #kind: HelperKind
  readonly #instructionSet: CompiledInstructionSet<Form>
  #port: HelperPort | undefined
  #hasFailed = false
  #isWanted = false
  /** Number of places that this thread compiles first. */
  #before: number
  #count = 0
  readonly #waiting = new Map<number, (answer: HelperAnswer) => void>()
  readonly #lost: () => void

  /** @param lost - called when all jobs are lost, and the helper with them */
  constructor(
    helper: CompileHelper,
    instructionSet: CompiledInstructionSet<Form>,
    target: CompilerTarget,
    lost: () => void,
  ) {
    this.#helper = helper
    this.#before = helper.placesBefore ?? 0
    this.#instructionSet = instructionSet
    this.#kind = { name: instructionSet.name, target, emitter: instructionSet.emitterKind }
    this.#lost = lost
  }

  /** Whether jobs are compiled, now or later. */
  get isThere(): boolean {
    return !this.#hasFailed && this.#before === 0
  }

  /** Counts a place that this thread has compiled. */
  skip(): void {
    if (this.#before > 0) this.#before--
  }

  /** Whether too many jobs wait for another one to be added. */
  get isBusy(): boolean {
    return this.#waiting.size >= MOST_JOBS
  }

  /** Delivers answers that have arrived. */
  look(): void {
    if (this.#isWanted) this.#connect()
    if (this.#waiting.size > 0) this.#port!.look?.()
  }

  /** @param done - gets the answer before a later turn, or in a later call of {@link RemoteCompiler.look}; never, if the helper fails */
  compile(job: CompileJob<Form>, done: (answer: HelperAnswer) => void): void {
    const number = this.#count++
    const { nameOf } = this.#instructionSet
    const form = job.form.map((each) => each && nameOf(each))
    this.#waiting.set(number, done)
    this.#connect()
    if (!this.#hasFailed) this.#port!.post({ number, job: { ...job, form } })
  }

  /** Has the thread started at the next {@link RemoteCompiler.look}, as a job will follow: the start is a pause of its own. */
  prepare(): void {
    this.#isWanted = this.#port === undefined && this.isThere
  }

  #connect(): void {
    this.#isWanted = false
    if (this.#port !== undefined || !this.isThere) return
    try {
      this.#port = this.#helper.connect(
        (answer) => this.#hear(answer),
        () => this.#fail(),
      )
      this.#port.post(this.#kind)
    } catch {
      // The host refuses a further thread.
      this.#fail()
    }
  }

  #hear(answer: HelperAnswer): void {
    const done = this.#waiting.get(answer.number)
    this.#waiting.delete(answer.number)
    done?.(answer)
  }

  #fail(): void {
    this.#hasFailed = true
    this.#waiting.clear()
    this.#lost()
  }
}
