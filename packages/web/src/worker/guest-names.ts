import type { Monitor } from '@retrap/machine/debug'
import {
  elfFunctions,
  isElfMark,
  type LineTable,
  linuxCommands,
  LinuxNames,
  linuxSymbols,
  type NamedPlace,
  readElfTables,
  readLines,
  SymbolTable,
  systemMapSymbols,
} from '@retrap/symbols'
import type { CallView, TaskView } from '../debugger.ts'
import { WebError } from '../errors.ts'
import type { BoardMachine } from './boards.ts'
import { reasonOf } from './sources.ts'

/** Number of retired instructions after which RAM is searched again for a kernel's symbol table. */
const SEARCH_INSTRUCTIONS = 20_000_000
/** Places are distances from this address, to be exact: kernels lie in the upper half. */
const BASE = 0xffff_ffff_8000_0000n
/** A name in both tables, by which it is known how far the kernel has moved. */
const ANCHORS = ['_stext', '_text', 'startup_64']
/** Monitor commands that only look at the machine. */
const LOOKS: ReadonlySet<string> = new Set([
  ...(['walk', 'p2m', 'interrupts', 'pending', 'devices'] as const),
  ...(['kaslr', 'ps', 'task', 'dmesg'] as const),
])

/** Symbols of a machine's memory: Linux keeps its own, and a file may add others. */
export class GuestNames {
  #kernel: readonly NamedPlace[] = []
  #file: readonly NamedPlace[] = []
  /** Line table of the file, and the kernel's offset from the file's addresses. */
  #lines: LineTable | undefined
  #movedBy = 0n
  #table: SymbolTable | null = null
  /** Instructions when the kernel's table was looked for. */
  #searched = -SEARCH_INSTRUCTIONS
  #looked: BoardMachine | null = null
  readonly #linux = linuxCommands(() => this.#looked!)
  readonly #tasks = new LinuxNames(() => this.#looked!)
  #monitor: { readonly of: BoardMachine; readonly monitor: Monitor } | null = null

  #tableOf(pc: BoardMachine): SymbolTable {
    const { instructions } = pc.domain
    if (this.#kernel.length === 0 && Math.abs(instructions - this.#searched) >= SEARCH_INSTRUCTIONS) {
      this.#searched = instructions
      this.#kernel = linuxSymbols(pc)
      this.#table = null
    }
    return (this.#table ??= new SymbolTable([...this.#kernel, ...this.#moved()], BASE))
  }

  /** The file's symbols where the kernel lies. */
  #moved(): readonly NamedPlace[] {
    for (const anchor of ANCHORS) {
      const is = ({ name }: NamedPlace): boolean => name === anchor
      const [here, there] = [this.#kernel.find(is), this.#file.find(is)]
      if (here === undefined || there === undefined) continue
      const by = (this.#movedBy = here.address - there.address)
      return by === 0n ? this.#file : this.#file.map((place) => ({ ...place, address: place.address + by }))
    }
    return this.#file
  }

  /** Names addresses, as `name+0x12`; null: unknown. */
  nameAll(pc: BoardMachine, addresses: readonly bigint[]): (string | null)[] {
    const table = this.#tableOf(pc)
    return addresses.map((address) => table.nameOf(address) ?? null)
  }

  /** Returns the address of a symbol; null if unknown. */
  addressOf(pc: BoardMachine, name: string): bigint | null {
    return this.#tableOf(pc).addressOf(name) ?? null
  }

  /** Names code and its callers. A return address is behind its call, which may be the last instruction of a line, or of a function. */
  calls(pc: BoardMachine, addresses: readonly bigint[]): CallView[] {
    const table = this.#tableOf(pc)
    return addresses.map((address, i) => {
      const name = table.nameOf(address) ?? null
      const line = this.#lines?.lineOf(address - (i === 0 ? 0n : 1n) - this.#movedBy)
      return { address, name, source: line === undefined ? null : `${line.file}:${line.line}` }
    })
  }

  /** Returns symbols with this prefix, at most 100. */
  find(pc: BoardMachine, start: string): string[] {
    return this.#tableOf(pc)
      .find(start)
      .map(({ name }) => name)
  }

  /** Returns the Linux task that a processor executes; null if unknown. Names of kernel threads are in brackets, as in ps. */
  task(pc: BoardMachine, cpu: number): TaskView | null {
    this.#looked = pc
    const task = this.#tasks.taskOf(cpu)
    return task && { pid: task.pid, name: task.isKernel ? `[${task.name}]` : task.name }
  }

  /** Takes the symbols of an ELF file such as `vmlinux`, or of a `System.map`. @returns how many @throws WebError `ERR_SOURCE` */
  async load(file: Blob): Promise<number> {
    try {
      const isElf = (await file.slice(0, 4).text()) === '\u007fELF'
      const read = async (offset: number, length: number): Promise<Uint8Array> =>
        new Uint8Array(await file.slice(offset, offset + length).arrayBuffer())
      if (isElf) {
        const source = { size: file.size, read }
        const tables = await readElfTables(source)
        const all = tables.symbols.filter((symbol) => !isElfMark(symbol))
        this.#file = all.length > 0 ? all : elfFunctions(tables)
        // Most files have no line table.
        this.#lines = await readLines(source).catch(() => undefined)
      } else this.#file = systemMapSymbols(await read(0, file.size))
    } catch (error) {
      throw new WebError('ERR_SOURCE', `symbols: ${reasonOf(error)}`, { cause: error })
    }
    this.#table = null
    return this.#file.length
  }

  /** Does a monitor command that only looks at the machine. @returns lines @throws WebError `ERR_OPTION` for another one */
  async look(pc: BoardMachine, line: string, cpu: number): Promise<string> {
    const [command = ''] = line.trim().split(/\s+/)
    if (!LOOKS.has(command))
      throw new WebError('ERR_OPTION', `look '${command.slice(0, 40)}': expected ${[...LOOKS].join(', ')}`)
    // Knowledge of the kernel goes from one machine of the past to the next.
    this.#looked = pc
    if (this.#monitor?.of !== pc) this.#monitor = { of: pc, monitor: (await pc.debugger()).monitor(this.#linux) }
    return this.#monitor.monitor.run(cpu, line)
  }
}
