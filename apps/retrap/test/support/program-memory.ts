/** Programs and memory of processes, made by hand. */
import type { SampledMemory } from '@retrap/machine'

const PAGE = 4096

/** A function of a program, by its distance from where the program begins. */
export interface ProgramFunction {
  readonly name: string
  readonly at: number
  readonly size: number
}

export interface ProgramOptions {
  /** Where it lies; default anywhere. */
  readonly fixed?: number
  /** Default x86-64's. */
  readonly machine?: number
  readonly soname?: string
  /** Whether it says that it is a program that may lie anywhere. */
  readonly isProgram?: boolean
  /** A byte that its build ID begins with; default none. */
  readonly buildId?: number
  /** Functions that it has names of for dynamic linking. */
  readonly dynamic?: readonly ProgramFunction[]
  /** Functions in its symbol table, which is not loaded. */
  readonly symbols?: readonly ProgramFunction[]
  /** Where functions begin, in its table for stack unwinding. */
  readonly starts?: readonly number[]
}

/** Where the parts of a program are. */
export const PARTS = { note: 0x200, dynamic: 0x300, symbols: 0x400, frames: 0x1000, code: 0x8000, end: 0xa000 } as const

/** An ELF64 program with one segment; its code is pseudo-random. */
export function program(options: ProgramOptions): Uint8Array {
  const { fixed, machine = 62, soname, isProgram = false, buildId, dynamic = [], symbols = [], starts } = options
  const base = fixed ?? 0
  const names = ['', ...(soname === undefined ? [] : [soname]), ...dynamic.map(({ name }) => name)]
  const [strings, positions] = textTable(names)
  const loaded = new Uint8Array(PARTS.end)
  for (let i = PARTS.code; i < PARTS.end; i++) loaded[i] = Math.imul(i + base + (buildId ?? 0), 0x9e37_79b1) >>> 24
  const view = new DataView(loaded.buffer)
  const word = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true)
  loaded.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, fixed === undefined ? 3 : 2, true)
  view.setUint16(18, machine, true)
  word(24, base + PARTS.code)
  word(32, 64)
  view.setUint16(54, 56, true)
  const segments: (readonly [type: number, at: number, bytes: number])[] = [[1, 0, PARTS.end]]
  const stringsAt = PARTS.symbols + 24 * (dynamic.length + 1)
  if (buildId !== undefined) {
    segments.push([4, PARTS.note, 20])
    for (const [i, value] of [4, 4, 3, 0x554e47, buildId].entries()) view.setUint32(PARTS.note + 4 * i, value, true)
  }
  if (soname !== undefined || isProgram || dynamic.length > 0) {
    const entries = [
      [5, base + stringsAt],
      [6, base + PARTS.symbols],
      [10, strings.length],
      ...(soname === undefined ? [] : [[14, positions[1]!]]),
      ...(isProgram ? [[0x6fff_fffb, 0x0800_0000]] : []),
      [0, 0],
    ]
    segments.push([2, PARTS.dynamic, 16 * entries.length])
    for (const [i, value] of entries.flat().entries()) word(PARTS.dynamic + 8 * i, value)
    writeSymbols(view, PARTS.symbols + 24, base, dynamic, positions.slice(-dynamic.length))
    loaded.set(strings, stringsAt)
  }
  if (starts !== undefined) {
    segments.push([0x6474_e550, PARTS.frames, 12 + 8 * starts.length])
    loaded.set([1, 0x1b, 3, 0x3b], PARTS.frames)
    view.setUint32(PARTS.frames + 8, starts.length, true)
    for (const [i, start] of starts.entries()) view.setInt32(PARTS.frames + 12 + 8 * i, start - PARTS.frames, true)
  }
  view.setUint16(56, segments.length, true)
  for (const [i, [type, at, bytes]] of segments.entries()) {
    view.setUint32(64 + 56 * i, type, true)
    for (const [field, value] of [at, base + at, base + at, bytes, bytes].entries())
      word(64 + 56 * i + 8 + 8 * field, value)
  }
  return symbols.length === 0 ? loaded : withSymbols(loaded, base, symbols)
}

/** Appends a symbol table and section headers. */
function withSymbols(loaded: Uint8Array, base: number, symbols: readonly ProgramFunction[]): Uint8Array {
  const [strings, positions] = textTable(['', ...symbols.map(({ name }) => name)])
  const tableBytes = 24 * symbols.length
  const headersAt = (loaded.length + tableBytes + strings.length + 7) & ~7
  const file = new Uint8Array(headersAt + 3 * 64)
  file.set(loaded)
  file.set(strings, loaded.length + tableBytes)
  const view = new DataView(file.buffer)
  writeSymbols(view, loaded.length, base, symbols, positions.slice(1))
  view.setBigUint64(40, BigInt(headersAt), true)
  view.setUint16(58, 64, true)
  view.setUint16(60, 3, true)
  for (const [i, { type, at, bytes, link, size }] of [
    { type: 2, at: loaded.length, bytes: tableBytes, link: 2, size: 24 },
    { type: 3, at: loaded.length + tableBytes, bytes: strings.length, link: 0, size: 0 },
  ].entries()) {
    const header = headersAt + 64 * (i + 1)
    view.setUint32(header + 4, type, true)
    view.setBigUint64(header + 24, BigInt(at), true)
    view.setBigUint64(header + 32, BigInt(bytes), true)
    view.setUint32(header + 40, link, true)
    view.setBigUint64(header + 56, BigInt(size), true)
  }
  return file
}

function writeSymbols(
  view: DataView,
  from: number,
  base: number,
  functions: readonly ProgramFunction[],
  names: readonly number[],
): void {
  for (const [i, { at, size }] of functions.entries()) {
    const to = from + 24 * i
    view.setUint32(to, names[i]!, true)
    view.setUint8(to + 4, 0x12)
    view.setUint16(to + 6, 1, true)
    view.setBigUint64(to + 8, BigInt(base + at), true)
    view.setBigUint64(to + 16, BigInt(size), true)
  }
}

function textTable(texts: readonly string[]): [bytes: Uint8Array, positions: number[]] {
  const positions: number[] = []
  let all = ''
  for (const text of texts) {
    positions.push(all.length)
    all += `${text}\0`
  }
  return [new TextEncoder().encode(all), positions]
}

export class ProcessMemory implements SampledMemory {
  readonly #pages = new Map<bigint, Uint8Array>()
  /** Pages that were looked at. */
  peeks = 0

  /** Maps bytes from the beginning of a page on. */
  map(address: bigint, bytes: Uint8Array): this {
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = new Uint8Array(PAGE)
      page.set(bytes.subarray(at, at + PAGE))
      this.#pages.set(address + BigInt(at), page)
    }
    return this
  }

  unmap(...pages: readonly bigint[]): this {
    for (const page of pages) this.#pages.delete(page)
    return this
  }

  /** Maps a stack of two pages, with what Linux puts at its end. @returns a stack pointer in it */
  stack(end: bigint, argv: readonly string[], path: string): bigint {
    const bytes = new Uint8Array(2 * PAGE)
    const text = new TextEncoder().encode(`\0x86_64\0\0\0${[...argv, 'HOME=/', 'TERM=vt100', path].join('\0')}\0`)
    bytes.set(text, bytes.length - 8 - text.length)
    this.map(end - BigInt(bytes.length), bytes)
    return end - BigInt(bytes.length) + 0x100n
  }

  peek(linear: bigint, into: Uint8Array): number {
    for (let done = 0; done < into.length;) {
      this.peeks++
      const at = linear + BigInt(done)
      const page = this.#pages.get(at & -BigInt(PAGE))
      if (page === undefined) return done
      const offset = Number(at % BigInt(PAGE))
      const count = Math.min(PAGE - offset, into.length - done)
      into.set(page.subarray(offset, offset + count), done)
      done += count
    }
    return into.length
  }
}
