import {
  CodeCache,
  HOT_COUNTER_BYTES,
  Jit,
  Interpreters,
  type CompiledCode as EngineCode,
  FrameWriters,
  type JitOptions as EngineOptions,
  type NamedEmitter,
  type UnitEmitter,
  packKinds,
  tlbBytes,
  usePacked,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { FormSource } from './semantics/semantics.ts'
import { generateArmInterpreter, allForms } from './interpreter/interpreter.ts'
import { ArmCompiled, ArmEmitter, type EmitterKind } from './jit/arm-compiled.ts'
import { ArmRecordDecoder } from './interpreter/record-decoder.ts'
import { TLB_SETS } from './state/access-rights.ts'
import { MODE_A32, POISONED_LAYOUT, STATE_LAYOUT, S_TLB_SETS } from './state/state-layout.ts'

/** Compiled guest code. */
export interface CompiledCode extends Omit<EngineCode, 'mode'> {
  /** Whether the code is of AArch32: A32, or at odd addresses Thumb. */
  readonly aarch32: boolean
}

/** Options for compiling hot code. */
export interface JitOptions extends Omit<EngineOptions, 'onCode'> {
  /** Called with each compiled code; if the function throws, the code stays interpreted. */
  readonly onCode?: (code: CompiledCode) => void
}

/** Converts the options for the engine. */
function engineOptions({ onCode, ...options }: JitOptions): EngineOptions {
  if (onCode === undefined) return options
  return { ...options, onCode: ({ mode, ...code }) => onCode({ ...code, aarch32: (mode & MODE_A32) !== 0 }) }
}

/** Bytes of machine memory for the state of a processor, with its TLB. */
export const ARM_CPU_BYTES: number = S_TLB_SETS + tlbBytes(TLB_SETS)
/** Alignment of that. */
export const ARM_CPU_ALIGN = 64

/** Bytes of decoded instructions that an engine keeps by default: 16 MiB. */
export const CODE_CACHE_BYTES: number = 16 << 20

/** The interpreters of this process. */
export const interpreters: Interpreters<FormSource> = /*#__PURE__*/ new Interpreters(generateArmInterpreter)

/**
 * Generates the code that the engines of all machines of a kind share, which the first of them does otherwise.
 *
 * @param shared - for machine memory that is shared between threads
 * @param jit - for engines that compile hot code
 */
export function prepareArmEngine(shared: boolean, jit: boolean): void {
  interpreters.prepare(shared, jit)
}

/** Options of {@link ArmEngine}. */
export interface ArmEngineOptions {
  /** Most bytes of decoded instructions; beyond this number all are dropped. Default {@link CODE_CACHE_BYTES}. */
  readonly codeCacheBytes?: number
  /** Options for compiling hot code; absent: interpret everything. */
  readonly jit?: JitOptions
  /** Whether to overwrite scratch state before each instruction, so that tests detect reads of another instruction's leftovers. */
  readonly poison?: boolean
  /** With `jit`: machine address of its counters of hot code, `HOT_COUNTER_BYTES` of `@retrap/engine`. Default: they get a place. */
  readonly countersAt?: number | undefined
}

/** The parts that the processors of a machine share: the interpreter, decoded instructions, and compiled code. */
export class ArmEngine {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** @internal The TLBs that may have write entries of a frame. */
  readonly frameWriters: FrameWriters
  /** Decoded instructions. */
  readonly codeCache: CodeCache
  /** Compiles hot code, with statistics; undefined if everything is interpreted. */
  readonly jit: Pick<Jit<unknown>, 'addTable' | 'beginTurn' | 'counts' | 'endTurn' | 'hot' | 'removeTable'> | undefined
  /** @internal Machine address of the counters of hot code; 0: there are none. */
  readonly countersAt: number
  /** @internal The interpreter: a `WebAssembly.Module`, a name that not every TypeScript setting knows. */
  readonly module: object

  /**
   * @throws EngineError `ERR_ARENA_SIZE` for a code cache that is too small
   * @throws MemoryError if machine memory has no room
   */
  constructor(
    memory: MachineMemory,
    { codeCacheBytes = CODE_CACHE_BYTES, jit, poison = false, countersAt: place }: ArmEngineOptions = {},
  ) {
    const countersAt =
      jit === undefined ? undefined : (place ?? memory.allocateFixed(HOT_COUNTER_BYTES, 8, 'counters of hot code'))
    this.frameWriters = new FrameWriters(memory.frameCount)
    this.countersAt = countersAt ?? 0
    const { code, module } = interpreters.of({ shared: memory.shared, hot: jit !== undefined, poison })
    this.memory = memory
    this.module = module
    const cache = new CodeCache(memory, new ArmRecordDecoder(memory, code.codes), codeCacheBytes)
    this.codeCache = cache
    if (jit !== undefined && countersAt !== undefined) {
      const instructionSet = new ArmCompiled(memory, code.sharedEntries, poison ? POISONED_LAYOUT : STATE_LAYOUT)
      this.jit = new Jit<FormSource>({ memory, cache, code, countersAt, instructionSet }, engineOptions(jit))
    }
  }

  /**
   * Reserves memory for further processors, in case the machine is full later. Memory of closed processors is reserved as well.
   *
   * @throws MemoryError `ERR_NO_MEMORY`
   */
  reserveCpus(count: number): void {
    const { memory } = this
    const places = Array.from({ length: count }, () =>
      memory.allocate(ARM_CPU_BYTES, ARM_CPU_ALIGN, 'Arm processors to come'),
    )
    for (const at of places) memory.free(at)
  }
}

// Interpreters generated ahead: a program that keeps them in a file starts a second of processor time sooner.

let byKey: ReadonlyMap<string, FormSource> | undefined

export function formOfKey(key: string): FormSource {
  if (byKey === undefined) {
    const found = new Map<string, FormSource>()
    // Several rows of AArch32 share forms: the first counts.
    for (const source of allForms()) if (!found.has(source.form.key)) found.set(source.form.key, source)
    byKey = found
  }
  return byKey.get(key) as FormSource
}

/**
 * Makes the emitter of a thread that compiles for machines of other threads: one of `CompileServer`'s openers.
 *
 * @param kind - as a machine has posted it
 */
export async function openArmEmitter(kind: object): Promise<NamedEmitter<unknown>> {
  const { entries, isPoisoned } = kind as EmitterKind
  const emitter = new ArmEmitter(entries, isPoisoned ? POISONED_LAYOUT : STATE_LAYOUT)
  return Object.assign(emitter as UnitEmitter<unknown>, { formOf: formOfKey })
}

/**
 * Generates the interpreters of machines that compile hot code, with private and with shared memory, for
 * {@link useInterpreters}. Compress the result: 3.3 MB become 131 KB by Brotli.
 */
export function packInterpreters(): Uint8Array {
  return packKinds(interpreters, () => 0)
}

/**
 * Has the machines of this process that are made from now on use interpreters that were generated ahead.
 *
 * @param packed - what {@link packInterpreters} returned, of the very modules that run now: an interpreter of another version
 *   of this package, or of one that it depends on, goes wrong in ways that nobody notices at once
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for something else
 */
export function useInterpreters(packed: Uint8Array): void {
  usePacked(interpreters, packed, formOfKey)
}
