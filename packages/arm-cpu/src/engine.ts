import { CodeCache } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { InterpreterCode } from '@retrap/engine'
import type { FormSource } from './semantics.ts'
import { generateArmInterpreter } from './interpreter.ts'
import { ArmRecordDecoder } from './record-decoder.ts'

/** Bytes of decoded instructions that an engine keeps by default: 16 MiB. */
export const CODE_CACHE_BYTES: number = 16 << 20

/** An interpreter and its compiled module. */
interface Compiled {
  readonly code: InterpreterCode<FormSource>
  readonly module: WebAssembly.Module
}

const compiled = new Map<string, Compiled>()

/** The interpreter for a kind of memory, generated once. */
function interpreterFor(memory: MachineMemory): Compiled {
  const options = { shared: memory.shared, maximumPages: memory.byteLength >>> 16 }
  const key = memory.shared ? `shared ${options.maximumPages}` : 'own'
  let known = compiled.get(key)
  if (known === undefined) {
    const code = generateArmInterpreter(options)
    known = { code, module: new WebAssembly.Module(Uint8Array.from(code.bytes)) }
    compiled.set(key, known)
  }
  return known
}

/** What the processors of a machine share: the interpreter, and the instructions that have been decoded. */
export class ArmEngine {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** Decoded instructions. */
  readonly codeCache: CodeCache
  /** @internal The interpreter. */
  readonly module: WebAssembly.Module

  /**
   * @param codeCacheBytes - of decoded instructions; beyond them all are dropped
   * @throws EngineError `ERR_ARENA_SIZE` for too few bytes
   * @throws MemoryError if machine memory has no room for them
   */
  constructor(memory: MachineMemory, codeCacheBytes: number = CODE_CACHE_BYTES) {
    const { code, module } = interpreterFor(memory)
    this.memory = memory
    this.module = module
    this.codeCache = new CodeCache(memory, new ArmRecordDecoder(memory, code.codes), codeCacheBytes)
  }
}
