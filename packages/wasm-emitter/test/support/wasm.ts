// Runs and prints what the emitter builds. wabt reads the bytes independently of V8 and of our tables.
import wabt from 'wabt'
import { type FunctionBuilder, ModuleBuilder, type Signature } from '../../src/index.ts'

const printer = await wabt()

/** The text form of a module's bytes, without the generated names. */
export function textOf(bytes: Uint8Array): string {
  const module = printer.readWasm(bytes, { threads: true, simd: true, relaxed_simd: true, readDebugNames: true })
  try {
    return module.toText({ foldExprs: false, inlineExport: false })
  } finally {
    module.destroy()
  }
}

/** The bytes that wabt makes of a module's text, without names. */
export function assembled(text: string): Uint8Array {
  const module = printer.parseWat('module.wat', text, {
    threads: true,
    simd: true,
    relaxed_simd: true,
    tail_call: true,
  })
  try {
    return module.toBinary({ write_debug_names: false }).buffer
  } finally {
    module.destroy()
  }
}

/** The instructions of the module's functions as wabt prints them, one a line, without indentation. */
export function instructionsOf(bytes: Uint8Array): string[] {
  return textOf(bytes)
    .split('\n')
    .map((line) => line.trim().replace(/\)+$/, ''))
    .filter((line) => line !== '' && !line.startsWith('('))
}

/** One page of memory, as generated code and tests see it. */
export function makeMemory(shared = false): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: 1, shared })
}

/** A module with one exported function, `run`, whose body `build` writes. */
export function moduleOf(
  signature: Signature,
  build: (f: FunctionBuilder) => void,
  shared = false,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  module.importMemory({ module: 'env', name: 'memory', initialPages: 1, maximumPages: 1, shared })
  const f = module.function('run', signature, { export: true })
  build(f)
  return Uint8Array.from(module.build())
}

/** Compiles the module's one function. */
export function runner<R>(
  signature: Signature,
  build: (f: FunctionBuilder) => void,
  memory: WebAssembly.Memory = makeMemory(),
): (...operands: (number | bigint)[]) => R {
  const shared = !(memory.buffer instanceof ArrayBuffer)
  const module = new WebAssembly.Module(moduleOf(signature, build, shared))
  const instance = new WebAssembly.Instance(module, { env: { memory } })
  return instance.exports['run'] as (...operands: (number | bigint)[]) => R
}
