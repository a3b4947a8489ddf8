/** The programs that a guest's processes execute, found in their memory while they run. */
import { PAGE_BYTES } from '@retrap/memory'
import type { GuestSample, SampledMemory } from '@retrap/machine'
import {
  buildIdOf,
  dynamicNames,
  ELF_HEADER_BYTES,
  type ElfLayout,
  elfLayout,
  FunctionStarts,
  type ReadLinked,
  sized,
  SymbolTable,
} from '@retrap/symbols'
import type { ProgramNames, SymbolFile } from './symbol-file.ts'

const PAGE = BigInt(PAGE_BYTES)
/** Pages below code that are searched for the beginning of its program: 64 MiB. */
const MOST_PAGES_BELOW = 16_384
/** Pages of a stack up to its end: 8 MiB, Linux's usual limit. */
const MOST_STACK_PAGES = 2048
/** Most pages read for one process, and for all processes. */
const MOST_PAGES_EACH = 1 << 18
const MOST_PAGES_ALL = 1 << 22
const MOST_PROCESSES = 4096
/** Bits of an address within a stretch: addresses in a stretch that belongs to no program are not looked up again. */
const STRETCH_BITS = 16n
const MOST_STRETCHES = 1 << 16
/** Counts of samples at which a process's memory is searched again. */
const LOOKS: ReadonlySet<number> = new Set([1, 4, 16, 64, 256, 1024])
/** Bytes at the end of a stack by which a process is known again. */
const MARK_BYTES = 256
/** Bytes of code by which a program is known whose headers are not mapped. */
const CODE_BYTES = 64

/** A program in the memory of a process. */
export interface MappedProgram {
  /** Beginning and end. */
  readonly start: bigint
  readonly end: bigint
  /** Difference between the program's addresses and the addresses that it was linked for. */
  readonly bias: bigint
  /** Functions. */
  names: ProgramNames
  /** The name of a library, or of a file of `--symbols`; undefined if unknown. */
  name: string | undefined
  /** The file is the program that the process executes, and has its name. */
  isProgram: boolean
}

export interface Process {
  /** Tells the process apart from others, which may have had its page tables before. */
  readonly id: number
  /** Name of the executed file; undefined if unknown. */
  name: string | undefined
  /** Programs found so far. Processes that have forked without executing another file share this list. */
  programs: MappedProgram[]
}

/** A memory range with its content. */
interface Mark {
  readonly at: bigint
  readonly bytes: Uint8Array
}

/** The known facts about a process. */
interface Known extends Process {
  /** Memory that is the same as long as the process is. Headers may not be mapped for a while; the end of a stack is. */
  header: Mark | undefined
  stackEnd: Mark | undefined
  /** Stretches of addresses without a program. */
  readonly strange: Set<bigint>
  /** Programs whose symbols were only partly in memory. */
  readonly partial: Map<MappedProgram, (memory: SampledMemory) => boolean>
  pagesLeft: number
  samples: number
}

/** Returns the known program of a process that contains an address. */
export const programAt = ({ programs }: Pick<Process, 'programs'>, address: bigint): MappedProgram | undefined =>
  programs.find(({ start, end }) => address >= start && address < end)

/** Finds the programs of processes. */
export class Processes {
  readonly #files: readonly SymbolFile[]
  readonly #byTables = new Map<bigint | undefined, Known>()
  /** Symbols of libraries and programs shared by many processes, by first bytes and build ID. */
  readonly #names = new Map<string, ProgramNames>()
  /** Programs of forked processes, by the content and address of the end of their stack. */
  readonly #families = new Map<string, MappedProgram[]>()
  #count = 0
  #pagesLeft = MOST_PAGES_ALL

  constructor(files: readonly SymbolFile[]) {
    this.#files = files
  }

  /** Returns the process of a sample, by its page tables and memory; undefined beyond the first thousands. */
  of({ pageTables, stackPointer }: GuestSample, memory: SampledMemory): Process | undefined {
    let known = this.#byTables.get(pageTables)
    if (known === undefined || !isStillThere(known, memory)) {
      if (this.#count >= MOST_PROCESSES) return undefined
      known = {
        id: this.#count++,
        name: undefined,
        programs: [],
        header: undefined,
        stackEnd: undefined,
        strange: new Set(),
        partial: new Map(),
        pagesLeft: MOST_PAGES_EACH,
        samples: 0,
      }
      this.#byTables.set(pageTables, known)
    }
    known.samples++
    if (!LOOKS.has(known.samples)) return known
    if (known.name === undefined) this.#findName(known, stackPointer, memory)
    known.strange.clear()
    for (const [program, look] of known.partial) if (look(memory)) known.partial.delete(program)
    return known
  }

  /** Finds the program that code of a process belongs to, for {@link programAt}. */
  find(process: Process, address: bigint, memory: SampledMemory): void {
    const known = process as Known
    const stretch = address >> STRETCH_BITS
    if (programAt(known, address) !== undefined || known.strange.has(stretch)) return
    const found = this.#search(known, address, memory) ?? this.#byCode(address, memory)
    if (found !== undefined) known.programs.push(found)
    else if (known.strange.size < MOST_STRETCHES) known.strange.add(stretch)
  }

  #mayLook(known: Known): boolean {
    if (known.pagesLeft <= 0 || this.#pagesLeft <= 0) return false
    known.pagesLeft--
    this.#pagesLeft--
    return true
  }

  /** Searches the pages below an address for a program's headers, and uses the first ones found. */
  #search(known: Known, address: bigint, memory: SampledMemory): MappedProgram | undefined {
    const head = new Uint8Array(ELF_HEADER_BYTES)
    let page = address & -PAGE
    for (let i = 0; i < MOST_PAGES_BELOW && page >= 0n && this.#mayLook(known); i++, page -= PAGE) {
      if (memory.peek(page, head) < ELF_HEADER_BYTES || head[0] !== 0x7f || head[1] !== 0x45) continue
      const first = new Uint8Array(PAGE_BYTES)
      const layout = elfLayout(first.subarray(0, memory.peek(page, first)))
      if (layout === undefined) continue
      const bias = page - layout.start
      if (address >= layout.end + bias || (layout.isFixed && bias !== 0n)) return undefined
      return this.#map(known, layout, bias, first, memory)
    }
    return undefined
  }

  #map(known: Known, layout: ElfLayout, bias: bigint, first: Uint8Array, memory: SampledMemory): MappedProgram {
    const [start, end] = [layout.start + bias, layout.end + bias]
    known.header ??= { at: start, bytes: first.slice(0, ELF_HEADER_BYTES) }
    const reader =
      (from: SampledMemory): ReadLinked =>
      (address, count) => {
        const bytes = new Uint8Array(count)
        return from.peek(address + bias, bytes) === count ? bytes : undefined
      }
    const buildId = buildIdOf(layout, reader(memory))
    const file = this.#files.find((each) => each.isOf(layout, buildId))
    if (file !== undefined) return { start, end, bias, names: file, name: file.name, isProgram: layout.isProgram }
    const key = `${buildId} ${first.subarray(0, ELF_HEADER_BYTES).join()}`
    const { isProgram } = layout
    const program: MappedProgram = { start, end, bias, names: NAMELESS, name: undefined, isProgram }
    const look = (from: SampledMemory): boolean => {
      const found = dynamicNames(layout, bias, reader(from))
      program.name = found.soname
      program.isProgram = isProgram || found.isProgram
      const known = this.#names.get(key)
      const starts = known?.starts ?? new FunctionStarts(layout, reader(from))
      program.names = known ?? { table: new SymbolTable(sized(found.symbols), 0n), starts }
      const isWhole = found.isWhole && starts.isWhole
      if (isWhole) this.#names.set(key, program.names)
      return isWhole
    }
    if (!look(memory)) known.partial.set(program, look)
    return program
  }

  /** Finds the file of `--symbols` with the same code at its link address, for programs whose headers are not mapped. */
  #byCode(address: bigint, memory: SampledMemory): MappedProgram | undefined {
    const at = address & -BigInt(CODE_BYTES)
    const here = new Uint8Array(CODE_BYTES)
    for (const file of this.#files) {
      const code = file.fixedCode(at, CODE_BYTES)
      if (code === undefined || memory.peek(at, here) < CODE_BYTES || here.some((byte, i) => byte !== code[i])) continue
      return { start: file.layout.start, end: file.layout.end, bias: 0n, names: file, name: file.name, isProgram: true }
    }
    return undefined
  }

  /**
   * Finds the name of the file that a process executes. Linux puts it at the very end of the first thread's stack, before a
   * zero word (`AT_EXECFN`); right above that may be other pages, such as the vDSO's.
   */
  #findName(known: Known, stackPointer: bigint, memory: SampledMemory): void {
    const last = new Uint8Array(10)
    const page = new Uint8Array(PAGE_BYTES)
    let end = (stackPointer & -PAGE) + PAGE
    for (let i = 0; i < MOST_STACK_PAGES && this.#mayLook(known); i++, end += PAGE) {
      if (memory.peek(end - BigInt(last.length), last) < last.length) return
      // The end of a text, and a zero word of 4 or 8 bytes.
      if (last.subarray(5).some((byte) => byte !== 0) || last.subarray(0, 5).every((byte) => byte === 0)) continue
      const name = memory.peek(end - PAGE, page) === PAGE_BYTES ? nameAtEnd(page) : undefined
      if (name !== undefined)
        this.#setName(known, name, { at: end - BigInt(MARK_BYTES), bytes: page.slice(-MARK_BYTES) })
    }
  }

  #setName(known: Known, name: string, stackEnd: Mark): void {
    known.name = name
    known.stackEnd = stackEnd
    // A forked child maps a page only when it touches it: it shares the programs found in its parent.
    const key = `${stackEnd.at} ${stackEnd.bytes.join()}`
    const family = this.#families.get(key)
    if (family === undefined) this.#families.set(key, known.programs)
    else {
      for (const program of known.programs) if (!programAt({ programs: family }, program.start)) family.push(program)
      known.programs = family
    }
  }
}

const NAMELESS: ProgramNames = { table: new SymbolTable([], 0n), starts: FunctionStarts.NONE }

/** Whether page tables still belong to the same process: after its end another process may reuse them. */
function isStillThere({ header, stackEnd }: Known, memory: SampledMemory): boolean {
  const matches = ({ at, bytes }: Mark, whereUnmapped: boolean): boolean => {
    const now = new Uint8Array(bytes.length)
    if (memory.peek(at, now) < bytes.length) return whereUnmapped
    return now.every((byte, i) => byte === bytes[i])
  }
  return (header === undefined || matches(header, true)) && (stackEnd === undefined || matches(stackEnd, false))
}

/** An environment variable. */
const VARIABLE = /^[A-Za-z_]\w*=/
const PRINTABLE = /^[ -~]+$/

/**
 * Returns the program's name from the last page of a stack, which holds the arguments, the environment and the file's path
 * before a zero word; undefined if that layout is not found.
 */
function nameAtEnd(page: Uint8Array): string | undefined {
  const [, text] = /^([^]*?)\0{5,9}$/.exec(String.fromCharCode(...page)) ?? []
  const texts = text?.split('\0') ?? []
  const path = texts.pop() ?? ''
  if (!PRINTABLE.test(path)) return undefined
  if (path !== '/proc/self/exe') return lastPart(path)
  // A program that executes itself, such as busybox, selects its function by the first argument.
  while (VARIABLE.test(texts.at(-1) ?? '')) texts.pop()
  const first = texts.findLastIndex((argument) => !PRINTABLE.test(argument))
  return lastPart(texts[first + 1] ?? path)
}

const lastPart = (path: string): string | undefined => path.replace(/^.*\//, '') || undefined
