import { ByteReader } from './byte-reader.ts'
import { WasmEmitterError } from './errors.ts'
import { instructionText } from './instruction-text.ts'

const VALUE_TYPES: Readonly<Record<number, string>> = {
  0x7f: 'i32',
  0x7e: 'i64',
  0x7d: 'f32',
  0x7c: 'f64',
  0x7b: 'v128',
}
const HEADER_BYTES = 8
const [CUSTOM, TYPES, IMPORTS, FUNCTIONS, TABLES, EXPORTS, ELEMENTS, CODE] = [0, 1, 2, 3, 4, 7, 9, 10] as const
const [KIND_FUNCTION, KIND_TABLE] = [0, 1] as const

/** A comment in the text of a module. */
export interface ModuleComment {
  /** Position in the module, of the next instruction or before it. */
  readonly at: number
  /** One line, without the semicolons. */
  readonly text: string
}

/** Options for printing a module. */
export interface ModuleTextOptions {
  /** Comments between instructions, in ascending order of positions; default none. */
  readonly comments?: readonly ModuleComment[]
}

/** The state of printing a module. */
class ModuleText {
  readonly #lines: string[] = []
  readonly #comments: readonly ModuleComment[]
  /** Number of comments printed. */
  #printed = 0
  #types: string[] = []
  #functionTypes: number[] = []
  #imported = 0
  readonly #exports = new Map<number, string>()

  constructor({ comments = [] }: ModuleTextOptions) {
    this.#comments = comments
  }

  print(module: Uint8Array): string {
    const sections = readSections(module)
    const read = (id: number, take: (reader: ByteReader) => void): void => {
      const reader = sections.get(id)
      if (reader !== undefined) take(reader)
    }
    read(TYPES, (s) => (this.#types = s.list(() => typeText(s))))
    for (const [i, type] of this.#types.entries()) this.#line(`(type (;${i};) (func${type}))`)
    read(IMPORTS, (s) => s.list(() => this.#import(s)))
    read(FUNCTIONS, (s) => (this.#functionTypes = s.list(() => s.leb())))
    read(TABLES, (s) => s.list(() => this.#table(s)))
    read(EXPORTS, (s) => s.list(() => this.#export(s)))
    read(ELEMENTS, (s) => this.#elements(s))
    read(CODE, (s) => {
      const count = s.leb()
      for (let i = 0; i < count; i++) this.#function(s, i)
    })
    return `(module\n${this.#lines.join('\n')})\n`
  }

  #line(text: string, depth = 1): void {
    this.#lines.push('  '.repeat(depth) + text)
  }

  /** Prints the comments for an instruction. @param at - its position */
  #commentsAt(at: number, depth: number): void {
    for (; (this.#comments[this.#printed]?.at ?? Infinity) <= at; this.#printed++)
      this.#line(`;; ${this.#comments[this.#printed]!.text}`, depth)
  }

  #import(s: ByteReader): void {
    const names = `(import ${JSON.stringify(s.name())} ${JSON.stringify(s.name())} `
    const kind = s.u8()
    if (kind === KIND_FUNCTION) {
      const type = s.leb()
      this.#line(`${names}(func (;${this.#imported++};) (type ${type})))`)
    } else if (kind === KIND_TABLE) {
      s.u8()
      this.#line(`${names}(table ${limits(s)} funcref))`)
    } else this.#line(`${names}(memory ${limits(s)}))`)
  }

  #table(s: ByteReader): void {
    s.u8()
    this.#line(`(table ${limits(s)} funcref)`)
  }

  #export(s: ByteReader): void {
    const name = s.name()
    const kind = s.u8()
    const index = s.leb()
    if (kind === KIND_FUNCTION) this.#exports.set(index, name)
    else this.#line(`(export ${JSON.stringify(name)} (table ${index}))`)
  }

  /** Prints the single active segment at entry 0. */
  #elements(s: ByteReader): void {
    s.bytes(5)
    this.#line(`(elem (i32.const 0) func ${s.list(() => s.leb()).join(' ')})`)
  }

  #function(s: ByteReader, i: number): void {
    const bytes = s.leb()
    const end = s.at + bytes
    const number = this.#imported + i
    const name = this.#exports.get(number)
    this.#line(
      `(func (;${number};)${name === undefined ? '' : ` (export ${JSON.stringify(name)})`} (type ${this.#functionTypes[i]})`,
    )
    const locals = s.list(() => {
      const count = s.leb()
      return ` ${valueType(s)}`.repeat(count)
    })
    if (locals.length > 0) this.#line(`(local${locals.join('')})`, 2)
    let depth = 2
    while (s.at < end) {
      const { at } = s
      const { name, operands } = instructionText(s)
      if (name === 'end' || name === 'else') depth--
      this.#commentsAt(at, Math.max(depth, 2))
      // The last `end` is the function's.
      if (s.at < end) this.#line(name + operands, depth)
      if (name === 'block' || name === 'loop' || name === 'if' || name === 'else') depth++
    }
    // A comment ends with its line, so the parenthesis needs a new one.
    if (this.#lines.at(-1)!.trimStart().startsWith(';;')) this.#line(')')
    else this.#lines[this.#lines.length - 1] += ')'
  }
}

function readSections(module: Uint8Array): Map<number, ByteReader> {
  if (module.length < HEADER_BYTES || module[0] !== 0 || module[1] !== 0x61) {
    throw new WasmEmitterError('ERR_STRUCTURE', 'the bytes are not those of a WebAssembly module')
  }
  const sections = new Map<number, ByteReader>()
  for (const all = new ByteReader(module, HEADER_BYTES); !all.isAtEnd;) {
    const id = all.u8()
    const bytes = all.leb()
    if (id !== CUSTOM) sections.set(id, new ByteReader(module, all.at, all.at + bytes))
    all.bytes(bytes)
  }
  return sections
}

function typeText(s: ByteReader): string {
  s.u8()
  const params = s.list(() => valueType(s))
  const results = s.list(() => valueType(s))
  return (
    (params.length === 0 ? '' : ` (param ${params.join(' ')})`) +
    (results.length === 0 ? '' : ` (result ${results.join(' ')})`)
  )
}

function valueType(s: ByteReader): string {
  const code = s.u8()
  const type = VALUE_TYPES[code]
  if (type === undefined) throw new WasmEmitterError('ERR_STRUCTURE', `no value type: ${code.toString(16)}`)
  return type
}

/** Sizes of a memory or a table. */
function limits(s: ByteReader): string {
  const flags = s.u8()
  const least = s.leb()
  return `${least}${(flags & 1) === 0 ? '' : ` ${s.leb()}`}${(flags & 2) === 0 ? '' : ' shared'}`
}

/**
 * Prints a module that a {@link ModuleBuilder} has built in WebAssembly's text format, one instruction to a line.
 *
 * Throws `WasmEmitterError` `ERR_STRUCTURE` for other bytes.
 */
export function moduleText(module: Uint8Array, options: ModuleTextOptions = {}): string {
  return new ModuleText(options).print(module)
}
