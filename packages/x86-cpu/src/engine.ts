import {
  CodeCache,
  FrameWriters,
  HOT_COUNTER_BYTES,
  Jit,
  OP_FIRST_FORM,
  Interpreters,
  type InterpreterCode,
  type JitCounts,
  type CompiledCode as EngineCode,
  type JitOptions as EngineOptions,
  type NamedEmitter,
  type UnitEmitter,
  TLB_SET_BYTES,
  clearTlbSet,
  packKinds,
  usePacked,
} from '@retrap/engine'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { codeInfo, codes, loadLeftOut, type CodeInfo } from '@retrap/x86-decoder'
import { systemForm, type SystemForm } from './interpreter/handler-path.ts'
import { HOT_FORMS } from './interpreter/hot-forms.ts'
import { generateX86Interpreter } from './interpreter/interpreter.ts'
import { SharedInterpreter } from './interpreter/shared-interpreter.ts'
import type { FormSource } from './semantics/form-context.ts'
import { formOf, isStringForm, variantsOf, type Variant } from './interpreter/code-forms.ts'
import { type EmitterKind, X86Compiled, X86Emitter } from './jit/x86-compiled.ts'
import { MonitoredLines } from './access/line-monitor.ts'
import { Lowering } from './interpreter/lower.ts'
import { HOST_OF_FORM, OP_SYSTEM } from './state/record.ts'
import { X86RecordDecoder } from './interpreter/record-decoder.ts'
import { SLOW_DIRECT } from './state/host.ts'
import { VECTOR_GP } from './state/vectors.ts'
import { X86CpuError } from './errors.ts'
import { modelOf, type CpuModel } from './model/cpu-model.ts'
import { Processor } from './model/processor.ts'
import { formKey, plainForm, type Form } from './state/form.ts'
import { systemRegisterSemantics } from './semantics/privileged/segment-registers.ts'
import { instructionSemantics, stringSemantics } from './semantics/index.ts'
import type { ExtendedInstructions } from './extended/index.ts'
import type { Semantics } from './semantics/context.ts'
import { BASE_FEATURES, CPU_FEATURES, FEATURES, isImplemented } from './model/feature-table.ts'
import { POISONED_LAYOUT, STATE_LAYOUT, STATUS_EXIT, MODE_32, MODE_64, TLB_SETS_BYTES } from './state/state-layout.ts'
import { handlers } from './system/handlers.ts'
import type { Handler } from './system/operands.ts'

/** Guest code that has been compiled. */
export interface CompiledCode extends Omit<EngineCode, 'mode'> {
  /** Bits of the mode: 16, 32 or 64. */
  readonly bits: 16 | 32 | 64
}

/** How hot code is compiled. */
export interface JitOptions extends Omit<EngineOptions, 'onCode'> {
  /** Called with all code that is compiled, when it is; what it throws leaves that code to the interpreter. */
  readonly onCode?: (code: CompiledCode) => void
}

/** Returns the options as the engine has them. */
function engineOptions({ onCode, ...options }: JitOptions): EngineOptions {
  if (onCode === undefined) return options
  return {
    ...options,
    onCode: ({ mode, ...code }) => onCode({ ...code, bits: (mode & MODE_64) !== 0 ? 64 : mode === MODE_32 ? 32 : 16 }),
  }
}

/** The instructions of extended features, once they are loaded. */
let extended: ExtendedInstructions | undefined

/** Whether a processor has features whose instructions are not in every program. */
const isExtended = ({ features }: CpuModel): boolean =>
  CPU_FEATURES.some((feature) => feature.extended && features.has(feature.name))

/**
 * Loads what a processor needs, unless this program has it: the models that texts name, and the instructions of features that
 * are `extended` in {@link CPU_FEATURES}. An {@link X86Engine} of such a processor wants them.
 *
 * @param cpu - as the engine gets it
 * @throws X86CpuError `ERR_CPU_MODEL`
 */
export async function loadInstructions(cpu: CpuModel | string): Promise<void> {
  if (cpu !== 'max') (await import('./model/models.ts')).knowAllModels()
  if (!isExtended(modelOf(cpu))) return
  await loadLeftOut()
  extended ??= (await import('./extended/index.ts')).extendedInstructions
}

/** Which operation a code stands for, if generated code executes it. */
function semanticsOf(info: CodeInfo, form: Form): Semantics | undefined {
  if (isStringForm(info)) return stringSemantics[info.mnemonic]
  if (info.encoding === 'evex')
    return form.evex === undefined ? extended?.promoted(info, form) : extended?.evex.semanticsOf(form)
  if (form.operands.some((o) => o.kind === 'system')) return systemRegisterSemantics(form)
  return instructionSemantics[info.operation] ?? extended?.semantics[info.operation]
}

/**
 * PAUSE tells the host of what looks like a spin loop. A turn that the host ends then ends right behind it: a lock that was
 * let go in front of PAUSE is still free when the next vCPU runs.
 */
const pause: Handler = (s, record) => {
  s.host.pause()
  s.advance(record)
  return STATUS_EXIT
}

const allHandlers: Readonly<Record<string, Handler>> = { ...handlers, PAUSE: pause }
/** The handler of an instruction, if there is one. */
const handlerOf = ({ operation, encoding, feature }: CodeInfo): Handler | undefined =>
  encoding === 'evex' && !feature.startsWith('APX')
    ? extended?.evex.handlers[operation]
    : (allHandlers[operation] ?? extended?.handlers[operation])

const formIn = (info: CodeInfo, variant: Variant): Form => extended?.evex.formOf(info, variant) ?? formOf(info, variant)

/** Forms that read or write memory once and can then not fail. */
function isDirect(semantics: Semantics, form: Form): boolean {
  return semantics.direct === true && form.operands.every((o) => o.access !== 'rw')
}

/** Returns a form of a code, if generated code executes it. */
function sourceOf(info: CodeInfo, variant: Variant): FormSource | undefined {
  const form = formIn(info, variant)
  const semantics = semanticsOf(info, form)
  return semantics && { form, semantics, accessFlags: isDirect(semantics, form) ? SLOW_DIRECT : 0, code: info.code }
}

function* sources(features: ReadonlySet<string>): Generator<FormSource> {
  for (let code = 0; ; code++) {
    const info = codeInfo(code)
    // No processor but extended ones has instructions from EVEX on: those rows are not even read.
    if (info.code !== code || (features === BASE_FEATURES && info.encoding === 'evex')) return
    if (!isImplemented(info, features)) continue
    for (const variant of variantsOf(info)) {
      const source = sourceOf(info, variant)
      if (source !== undefined) yield source
    }
  }
}

/** The interpreters of this process. */
export const interpreters: Interpreters<FormSource> = /*#__PURE__*/ new Interpreters((options) =>
  generateX86Interpreter(sources(BASE_FEATURES), HOT_FORMS, options),
)
/** The interpreters that execute instructions of extended features, too, with the features that they have. */
const extendedInterpreters: {
  readonly features: ReadonlySet<string>
  readonly interpreters: Interpreters<FormSource>
}[] = []

/**
 * Returns the interpreters for a processor. The first one with extended features gets interpreters without the instructions
 * that it lacks, which take less time to generate; one that they do not suffice for gets all instructions.
 */
function interpretersFor(model: CpuModel): Interpreters<FormSource> {
  if (!isExtended(model)) return interpreters
  const names = CPU_FEATURES.filter((one) => one.extended && model.features.has(one.name)).map(({ name }) => name)
  const found = extendedInterpreters.find(({ features }) => names.every((name) => features.has(name)))
  if (found !== undefined) return found.interpreters
  const isFirst = extendedInterpreters.length === 0
  const features = isFirst ? new Set([...BASE_FEATURES, ...names]) : FEATURES
  const made = new Interpreters((options) =>
    generateX86Interpreter(sources(features), HOT_FORMS, options, extended?.evex.contexts.form),
  )
  extendedInterpreters.push({ features, interpreters: made })
  return made
}

/**
 * Generates the code that the engines of all machines of a kind share, which the first of them does otherwise: it takes a
 * fifth of a second or more.
 *
 * @param shared - for machine memory that is shared between threads
 * @param jit - for engines that compile hot code
 */
export function prepareX86Engine(shared: boolean, jit: boolean): void {
  interpreters.prepare(shared, jit)
}

const PROFILE_BYTES = 0x1_0000

function countsOf(memory: MachineMemory, at: number, code: InterpreterCode): ReadonlyMap<string, bigint> {
  const inline = Math.max(OP_FIRST_FORM, ...[...code.codes.values()].map(({ op }) => op + 1))
  const counts = new Map<string, bigint>()
  for (const [key, { op, fn }] of code.codes) {
    counts.set(key, memory.readU64(at + 8 * (op < OP_FIRST_FORM ? inline + fn : op)))
  }
  return counts
}

/** How an engine is made. */
export interface X86EngineOptions {
  /** The processor that its vCPUs are: a model, or a text for {@link cpuModel}. Default `max`. */
  readonly cpu?: CpuModel | string
  /** Bytes of the arena for decoded instructions, 64 KiB or more; default {@link CODE_CACHE_BYTES}. */
  readonly codeCacheBytes?: number
  /** Compile hot code to WebAssembly of its own. Default false. */
  readonly jit?: boolean | JitOptions
  /** Count how often each form runs: for choosing the hot ones. Slower. */
  readonly profile?: boolean
  /**
   * With `jit`: machine address of its counters of hot code, as {@link allocateCounters} returned it, or that of another engine which
   * does not execute at the same time. Default its own.
   */
  readonly countersAt?: number | undefined
  /** Overwrite what is no guest's state before each instruction, so that tests find instructions that read what others left. */
  readonly poison?: boolean
}

/**
 * Default size of the arena for decoded instructions: 64 MiB, of which the host has what has been used. Measured: Linux
 * uses 37 MiB of it until its first process, and a full arena loses all compiled code too.
 */
export const CODE_CACHE_BYTES: number = 64 << 20

/** Sets memory aside for an engine's counters of hot code: at places that are equal in all machines, for the first few. */
export function allocateCounters(memory: MachineMemory): number {
  return memory.allocateFixed(HOT_COUNTER_BYTES, 8, 'counters of hot code')
}

/**
 * The parts that the vCPUs of one machine share: generated code and decoded instructions.
 */
export class X86Engine {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** The compiled `WebAssembly.Module`; an object to users, because its type exists only where lib.dom does. */
  readonly module: object
  /** The processor that every vCPU of the engine is: decoded instructions are shared. */
  readonly processor: Processor
  /** Decoded instructions. */
  readonly codeCache: CodeCache
  /** Machine address of its counters of hot code; undefined where none is compiled. */
  readonly countersAt: number | undefined
  /** @internal Machine address of the TLB set that holds no entry. */
  readonly missSet: number
  /** @internal Knows which vCPUs may have write entries of a frame. */
  readonly frameWriters: FrameWriters
  /** @internal The lines that vCPUs monitor. */
  readonly monitoredLines: MonitoredLines
  /** @internal The forms that TypeScript handlers execute. */
  readonly systemForms: SystemForm[] = []
  /** The handlers that functions of forms leave instructions to, by their entries in the table. */
  readonly #formHandlers: (SystemForm | undefined)[] = []
  /** @internal The compiler of hot code. */
  readonly jit: Jit<FormSource> | undefined
  /** With the option `profile`: how often each form ran, by its key. */
  readonly executionCounts: (() => ReadonlyMap<string, bigint>) | undefined
  /** Bytes of the interpreter's main function. */
  readonly mainBytes: number
  /** @internal See {@link X86EngineOptions.poison}. */
  readonly poison: boolean
  #interpreter: SharedInterpreter | undefined

  /**
   * @throws MemoryError if machine memory is too small for the arena
   * @throws EngineError `ERR_ARENA_SIZE` if the arena is smaller than 64 KiB
   * @throws X86CpuError `ERR_CPU_MODEL` for a processor that cannot be, or whose instructions are not loaded
   */
  constructor(memory: MachineMemory, options: X86EngineOptions = {}) {
    const { cpu = 'max', codeCacheBytes = CODE_CACHE_BYTES, jit = false, poison = false } = options
    this.poison = poison
    this.processor = new Processor(modelOf(cpu))
    const profileAt = options.profile === true ? memory.allocate(PROFILE_BYTES, 8, 'execution counts') : undefined
    const hotAt = jit === false ? undefined : (options.countersAt ?? allocateCounters(memory))
    this.countersAt = hotAt
    const isWide = isExtended(this.processor.model)
    if (isWide && extended === undefined)
      throw new X86CpuError('ERR_CPU_MODEL', `${this.processor.model.name}: call loadInstructions of this model first`)
    if (isWide) this.processor.extend(extended!.processor)
    const { module, code } = interpretersFor(this.processor.model).of({
      shared: memory.shared,
      profileAt,
      hot: hotAt !== undefined,
      poison,
    })
    this.executionCounts = profileAt === undefined ? undefined : () => countsOf(memory, profileAt, code)
    this.memory = memory
    this.module = module
    this.missSet = memory.allocate(TLB_SET_BYTES, PAGE_BYTES, 'TLB set without entries')
    clearTlbSet(memory, this.missSet)
    this.frameWriters = new FrameWriters(memory.frameCount)
    this.monitoredLines = new MonitoredLines(memory, this.frameWriters)
    this.mainBytes = code.mainBytes
    const undefinedForm = this.#systemForm(handlers['UD2']!, UNDEFINED_FORM)
    const lowering = new Lowering(
      memory,
      (info, form) => {
        if (!this.processor.executes(info, form.long)) return { op: OP_SYSTEM, fn: undefinedForm }
        const semantics = semanticsOf(info, form)
        const generated =
          semantics === undefined || !this.#follows(semantics) ? undefined : code.codes.get(formKey(form))
        if (generated !== undefined && semantics?.partial !== true) return generated
        const handler = handlerOf(info)
        const fn = handler === undefined ? undefinedForm : this.#systemForm(handler, form)
        if (generated === undefined) return { op: OP_SYSTEM, fn }
        this.#formHandlers[generated.fn] = this.systemForms[fn]
        return generated
      },
      extended?.evex,
    )
    const exceptions = { undefined: undefinedForm, tooLong: this.#systemForm(tooLong, UNDEFINED_FORM) }
    const decoder = new X86RecordDecoder(memory, lowering, exceptions, this.processor.decoderOptions)
    this.codeCache = new CodeCache(memory, decoder, codeCacheBytes)
    this.jit = hotAt === undefined ? undefined : this.#jit(code, hotAt, typeof jit === 'object' ? jit : {})
  }

  /** @internal The interpreter of its vCPUs, made when the first of them is. */
  get interpreter(): SharedInterpreter {
    if (this.#interpreter === undefined) {
      this.#interpreter = new SharedInterpreter(this.module, this.memory, this.jit)
      this.jit?.addTable(this.#interpreter.units)
    }
    return this.#interpreter
  }

  /** The cost of compiling hot code; undefined where none is compiled. */
  get jitCounts(): JitCounts | undefined {
    return this.jit?.counts
  }

  #jit(code: InterpreterCode<FormSource>, countersAt: number, options: JitOptions): Jit<FormSource> {
    const { memory, codeCache: cache } = this
    const instructionSet = new X86Compiled(memory, this.systemForms, {
      model: this.processor.model,
      layout: this.poison ? POISONED_LAYOUT : STATE_LAYOUT,
      evexContext: extended?.evex.contexts.region,
      sharedEntries: code.sharedEntries,
      shared: memory.shared,
    })
    return new Jit({ memory, cache, code, countersAt, instructionSet }, engineOptions(options))
  }

  /** Whether the processor is one that the simple cases of an instruction are for. */
  #follows({ intel, feature, components }: Semantics): boolean {
    const { processor } = this
    if ((intel === true && processor.amd) || (components !== undefined && components !== processor.components))
      return false
    return feature === undefined || processor.has(feature)
  }

  /**
   * Sets memory aside for the translations of further vCPUs, which take it when they first execute: a machine that is full by
   * then has it for them. The memory of a vCPU that is closed is kept in the same way.
   *
   * @throws MemoryError `ERR_NO_MEMORY`
   */
  reserveVcpus(count: number): void {
    const { memory } = this
    const places = Array.from({ length: count }, () =>
      memory.allocate(TLB_SETS_BYTES, PAGE_BYTES, 'translations of vCPUs to come'),
    )
    for (const at of places) memory.free(at)
  }

  /** @internal The form of a host function that generated code calls. */
  handlerOf(fn: number): SystemForm {
    const form = fn < HOST_OF_FORM ? this.systemForms[fn] : this.#formHandlers[fn - HOST_OF_FORM]
    return form as SystemForm
  }

  #systemForm(handler: Handler, form: Form): number {
    return this.systemForms.push(systemForm(handler, form)) - 1
  }
}

/** More than 15 bytes (SDM vol. 3A, "Interrupt 13—General Protection Exception"). */
const tooLong: Handler = (s) => s.raise(VECTOR_GP, 0)

const UNDEFINED_FORM = plainForm('UD2', 0)

/** Mnemonics of implemented features that nothing executes, for the test that there are none. */
export function unimplementedMnemonics(): readonly string[] {
  const missing = new Set<string>()
  for (const info of codes) {
    if (!isImplemented(info) || info.flow === 'exception') continue
    for (const variant of variantsOf(info)) {
      const form = formIn(info, variant)
      if (semanticsOf(info, form) === undefined && handlerOf(info) === undefined) missing.add(info.mnemonic)
    }
  }
  return [...missing].toSorted()
}

// Interpreters generated ahead: a program that keeps them in a file starts a second of processor time sooner.

function sourcesOf(info: CodeInfo): FormSource[] {
  return [...variantsOf(info)].map((variant) => sourceOf(info, variant)).filter((source) => source !== undefined)
}

/** The code that each form is generated for: the first that has it. */
function codesByForm(): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const info of codes) {
    if (!isImplemented(info)) continue
    for (const { form } of sourcesOf(info)) {
      const key = formKey(form)
      if (!found.has(key)) found.set(key, info.code)
    }
  }
  return found
}

export const formOfCode = (key: string, code: number): FormSource =>
  sourcesOf(codeInfo(code)).find((one) => formKey(one.form) === key) as FormSource

/**
 * Makes the emitter of a thread that compiles for machines of other threads: one of `CompileServer`'s openers.
 *
 * @param kind - as a machine has posted it
 */
export async function openX86Emitter(kind: object): Promise<NamedEmitter<unknown>> {
  const { model, isPoisoned, ...others } = kind as EmitterKind
  await loadInstructions(model)
  const emitter = new X86Emitter({
    ...others,
    model,
    layout: isPoisoned ? POISONED_LAYOUT : STATE_LAYOUT,
    evexContext: extended?.evex.contexts.region,
  })
  const formOf = (name: string): FormSource => {
    const [code = '', ...key] = name.split(' ')
    return formOfCode(key.join(' '), Number(code))
  }
  return Object.assign(emitter as UnitEmitter<unknown>, { formOf })
}

/**
 * Generates the interpreters of machines that compile hot code, with private and with shared memory, for
 * {@link useInterpreters}. Compress the result: 6 MB become a fiftieth by Brotli.
 */
export function packInterpreters(): Uint8Array {
  const codeOf = codesByForm()
  return packKinds(interpreters, (key) => codeOf.get(key)!)
}

/**
 * Has the machines of this process that are made from now on use interpreters that were generated ahead.
 *
 * @param packed - what {@link packInterpreters} returned, of the very modules that run now: an interpreter of another version
 *   of this package, or of one that it depends on, goes wrong in ways that nobody notices at once
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for something else
 */
export function useInterpreters(packed: Uint8Array): void {
  usePacked(interpreters, packed, formOfCode)
}
