import { ByteWriter } from './bytes.ts'
import { check, checkIndex } from './checks.ts'
import { WasmEmitterError } from './errors.ts'
import { FunctionBuilder } from './function-builder.ts'
import { checkCallee, checkSignature, valueTypeCode, type Callee, type Signature } from './signature.ts'

const FUNCREF = 0x70
const KIND_FUNCTION = 0
const KIND_TABLE = 1
const KIND_MEMORY = 2

/** The one memory of a module, imported. Sizes are in pages of 64 KiB. */
export interface MemoryImport {
  /** The module that the function is imported from. */
  readonly module: string
  /** Name in that module. */
  readonly name: string
  /** Minimum number of pages. */
  readonly initialPages: number
  /** Required for a shared memory. */
  readonly maximumPages?: number
  /** Whether the memory is shared between threads. */
  readonly shared?: boolean
}

/** Options for declaring a function of a module. */
export interface FunctionOptions {
  /** Whether the function is exported under its name. */
  readonly export?: boolean
  /** The builder class of its body; default {@link FunctionBuilder}. */
  readonly builder?: typeof FunctionBuilder
}

/**
 * Builds a WebAssembly module: imports first, then functions; {@link ModuleBuilder.build} gives the bytes.
 *
 * Layout after the WebAssembly core specification, chapter 5, "Binary Format", "Modules".
 */
export class ModuleBuilder {
  readonly #types = new Map<string, number>()
  /** Types of the functions, in their order. */
  readonly #functionTypes: number[] = []
  readonly #typeBytes = new ByteWriter()
  readonly #imports: { module: string; name: string; callee: Callee; type: number }[] = []
  readonly #functions: FunctionBuilder[] = []
  readonly #exports: { name: string; index: number }[] = []
  /** Entries of the code section, in the order of completion, and where each function's begins and ends. */
  readonly #code = new ByteWriter()
  readonly #entries: { from: number; to: number }[] = []
  /** Positions in the module behind each function, once it is built. */
  #ends: readonly number[] = []
  #memory: MemoryImport | undefined
  #table: { elements: readonly Callee[]; exportName: string | undefined } | undefined
  #tableImport: { module: string; name: string } | undefined

  /** The index of a function type, made on first use. */
  typeIndex(signature: Signature): number {
    checkSignature(signature)
    const key = `${signature.params.join(',')}:${signature.result ?? ''}`
    const known = this.#types.get(key)
    if (known !== undefined) return known
    const out = this.#typeBytes
    out.u8(0x60)
    out.leb(signature.params.length)
    for (const type of signature.params) out.u8(valueTypeCode(type))
    out.leb(signature.result === undefined ? 0 : 1)
    if (signature.result !== undefined) out.u8(valueTypeCode(signature.result))
    this.#types.set(key, this.#types.size)
    return this.#types.size - 1
  }

  /** Imports the memory. Throws `WasmEmitterError` `ERR_DUPLICATE` for a second one. */
  importMemory(memory: MemoryImport): void {
    if (this.#memory !== undefined) throw new WasmEmitterError('ERR_DUPLICATE', 'a module has one memory')
    check.object('a memory', memory)
    check.text("the memory's module", memory.module)
    check.text("the memory's name", memory.name)
    checkIndex("the memory's size", memory.initialPages, 2 ** 16 + 1)
    if (memory.maximumPages !== undefined) checkIndex("the memory's largest size", memory.maximumPages, 2 ** 16 + 1)
    this.#memory = memory
  }

  /** Imports come before the first own function, since they share one index space. */
  importFunction<S extends Signature>(module: string, name: string, signature: S): Callee & { readonly signature: S } {
    if (this.#functions.length > 0)
      throw new WasmEmitterError('ERR_STRUCTURE', `import ${name} after the first function`)
    check.text('the module of a function', module)
    check.text('the name of a function', name)
    const callee = { index: this.#imports.length, signature }
    this.#imports.push({ module, name, callee, type: this.typeIndex(signature) })
    return callee
  }

  /** Declares a function, so that others can call it before its body is complete. */
  function<S extends Signature>(
    name: string,
    signature: S,
    options: FunctionOptions = {},
  ): FunctionBuilder & { readonly signature: S } {
    check.object('the options of a function', options)
    const { builder: Builder = FunctionBuilder } = options
    check.function('the class of a function', Builder)
    const builder = new Builder(this.#imports.length + this.#functions.length, name, signature)
    this.#functionTypes.push(this.typeIndex(signature))
    if (options.export === true) this.#exports.push({ name, index: builder.index })
    this.#functions.push(builder)
    return builder as FunctionBuilder & { readonly signature: S }
  }

  /** Ends a function's body, and frees the memory for building it. {@link ModuleBuilder.build} does this for the rest. */
  complete(f: FunctionBuilder): void {
    if (!(f instanceof FunctionBuilder) || this.#functions[f.index - this.#imports.length] !== f)
      throw new WasmEmitterError('ERR_STRUCTURE', 'a function of another module')
    const from = this.#code.length
    f.finish(this.#code)
    this.#entries[f.index - this.#imports.length] = { from, to: this.#code.length }
  }

  /** Imports table 0, for calls through it. Throws `WasmEmitterError` `ERR_DUPLICATE` for a second table. */
  importTable(module: string, name: string): void {
    if (this.#table !== undefined || this.#tableImport !== undefined)
      throw new WasmEmitterError('ERR_DUPLICATE', 'a module has one table here')
    check.text('the module of a table', module)
    check.text('the name of a table', name)
    this.#tableImport = { module, name }
  }

  /** Table 0, holding these functions from entry 0 on. */
  table(elements: readonly Callee[], exportName?: string): void {
    if (this.#table !== undefined || this.#tableImport !== undefined)
      throw new WasmEmitterError('ERR_DUPLICATE', 'a module has one table here')
    check.list('the elements of a table', elements)
    for (const callee of elements) checkCallee(callee)
    if (exportName !== undefined) check.text('the name of a table', exportName)
    this.#table = { elements, exportName }
  }

  /** The functions built here, for size reports. */
  get functions(): readonly FunctionBuilder[] {
    return this.#functions
  }

  /** The module as bytes for `new WebAssembly.Module`. */
  build(): Uint8Array {
    const out = new ByteWriter()
    out.raw([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00])
    section(out, 1, (s) => {
      s.leb(this.#types.size)
      s.append(this.#typeBytes)
    })
    section(out, 2, (s) => this.#importSection(s))
    section(out, 3, (s) => {
      s.leb(this.#functions.length)
      for (const type of this.#functionTypes) s.leb(type)
    })
    const table = this.#table
    if (table !== undefined) {
      section(out, 4, (s) => {
        s.raw([1, FUNCREF, 0x00])
        s.leb(table.elements.length)
      })
    }
    section(out, 7, (s) => {
      s.leb(this.#exports.length + (table?.exportName === undefined ? 0 : 1))
      for (const { name, index } of this.#exports) {
        s.name(name)
        s.u8(KIND_FUNCTION)
        s.leb(index)
      }
      if (table?.exportName !== undefined) {
        s.name(table.exportName)
        s.u8(KIND_TABLE)
        s.leb(0)
      }
    })
    if (table !== undefined && table.elements.length > 0) {
      section(out, 9, (s) => {
        // A single active segment at entry 0.
        s.raw([1, 0x00, 0x41, 0x00, 0x0b])
        s.leb(table.elements.length)
        for (const callee of table.elements) s.leb(callee.index)
      })
    }
    const ends: number[] = []
    const code = section(out, 10, (s) => {
      s.leb(this.#functions.length)
      for (const [i, f] of this.#functions.entries()) {
        if (this.#entries[i] === undefined) this.complete(f)
        const { from, to } = this.#entries[i]!
        s.leb(to - from)
        s.appendRange(this.#code, from, to)
        ends.push(s.length)
      }
    })
    this.#ends = ends.map((end) => code + end)
    section(out, 0, (s) => this.#nameSection(s))
    return out.toBytes()
  }

  /**
   * Returns the position behind a function's last byte, the end of its code, in the module built last. Throws
   * `WasmEmitterError` `ERR_STRUCTURE` for a function of another module, and before it is built.
   */
  endOf({ index }: Callee): number {
    const end = this.#ends[index - this.#imports.length]
    if (end === undefined)
      throw new WasmEmitterError('ERR_STRUCTURE', `function ${index} is not in a module that is built`)
    return end
  }

  #importSection(s: ByteWriter): void {
    const memory = this.#memory
    const table = this.#tableImport
    s.leb(this.#imports.length + (memory === undefined ? 0 : 1) + (table === undefined ? 0 : 1))
    for (const { module, name, type } of this.#imports) {
      s.name(module)
      s.name(name)
      s.u8(KIND_FUNCTION)
      s.leb(type)
    }
    if (table !== undefined) {
      s.name(table.module)
      s.name(table.name)
      s.raw([KIND_TABLE, FUNCREF, 0x00, 0x00])
    }
    if (memory === undefined) return
    s.name(memory.module)
    s.name(memory.name)
    s.u8(KIND_MEMORY)
    s.u8((memory.maximumPages === undefined ? 0 : 1) | (memory.shared === true ? 2 : 0))
    s.leb(memory.initialPages)
    if (memory.maximumPages !== undefined) s.leb(memory.maximumPages)
  }

  /** Function names, so that profiles and traps can be read ("Name Section", appendix of the core specification). */
  #nameSection(s: ByteWriter): void {
    s.name('name')
    section(s, 1, (names) => {
      names.leb(this.#functions.length)
      for (const { index, name } of this.#functions) {
        names.leb(index)
        names.name(name)
      }
    })
  }
}

/** Writes a section. @returns position of its content */
function section(out: ByteWriter, id: number, build: (section: ByteWriter) => void): number {
  const body = new ByteWriter()
  build(body)
  out.u8(id)
  out.leb(body.length)
  const at = out.length
  out.append(body)
  return at
}
