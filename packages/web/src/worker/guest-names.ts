import { type Monitor, type Pc, pcMonitor } from '@retrap/machine'
import {
  elfFunctions,
  isElfMark,
  linuxCommands,
  linuxSymbols,
  type NamedPlace,
  readElfTables,
  SymbolTable,
  systemMapSymbols,
} from '@retrap/symbols'
import { WebError } from '../errors.ts'
import { reasonOf } from './sources.ts'

/** RAM is searched again for a kernel's table when so many instructions have retired since it was not there. */
const SEARCH_INSTRUCTIONS = 20_000_000
/** Names around here have exact places: kernels lie in the upper half. */
const BASE = 0xffff_ffff_8000_0000n
/** A name in both tables, by which it is known how far the kernel has moved. */
const ANCHORS = ['_stext', '_text', 'startup_64']
/** Monitor commands that only look at the machine. */
const LOOKS: ReadonlySet<string> = new Set([
  ...(['walk', 'p2m', 'interrupts', 'pending', 'devices'] as const),
  ...(['kaslr', 'ps', 'task', 'dmesg'] as const),
])

/** Names of places in a machine's memory: Linux keeps some of itself, and a file may have others. */
export class GuestNames {
  #kernel: readonly NamedPlace[] = []
  #file: readonly NamedPlace[] = []
  #table: SymbolTable | null = null
  /** Instructions when the kernel's table was looked for. */
  #searched = -SEARCH_INSTRUCTIONS
  #monitor: { readonly of: Pc; readonly monitor: Monitor } | null = null

  #tableOf(pc: Pc): SymbolTable {
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
      const by = here.address - there.address
      return by === 0n ? this.#file : this.#file.map((place) => ({ ...place, address: place.address + by }))
    }
    return this.#file
  }

  /** Names addresses, as `name+0x12`; null: there is no name. */
  nameAll(pc: Pc, addresses: readonly bigint[]): (string | null)[] {
    const table = this.#tableOf(pc)
    return addresses.map((address) => table.nameOf(address) ?? null)
  }

  /** The address of a name; null: there is none. */
  addressOf(pc: Pc, name: string): bigint | null {
    return this.#tableOf(pc).addressOf(name) ?? null
  }

  /** Names that begin so, at most 100. */
  find(pc: Pc, start: string): string[] {
    return this.#tableOf(pc)
      .find(start)
      .map(({ name }) => name)
  }

  /** Takes the symbols of an ELF file such as `vmlinux`, or of a `System.map`. @returns how many @throws WebError `ERR_SOURCE` */
  async load(file: Blob): Promise<number> {
    try {
      const isElf = (await file.slice(0, 4).text()) === '\u007fELF'
      const read = async (offset: number, length: number): Promise<Uint8Array> =>
        new Uint8Array(await file.slice(offset, offset + length).arrayBuffer())
      if (isElf) {
        const tables = await readElfTables({ size: file.size, read })
        const all = tables.symbols.filter((symbol) => !isElfMark(symbol))
        this.#file = all.length > 0 ? all : elfFunctions(tables)
      } else this.#file = systemMapSymbols(await read(0, file.size))
    } catch (error) {
      throw new WebError('ERR_SOURCE', `symbols: ${reasonOf(error)}`, { cause: error })
    }
    this.#table = null
    return this.#file.length
  }

  /** Does a monitor command that only looks at the machine. @returns lines @throws WebError `ERR_OPTION` for another one */
  async look(pc: Pc, line: string, cpu: number): Promise<string> {
    const [command = ''] = line.trim().split(/\s+/)
    if (!LOOKS.has(command))
      throw new WebError('ERR_OPTION', `look '${command.slice(0, 40)}': expected ${[...LOOKS].join(', ')}`)
    if (this.#monitor?.of !== pc)
      this.#monitor = {
        of: pc,
        monitor: pcMonitor(
          pc.domain,
          await pc.debugger(),
          linuxCommands(() => pc),
        ),
      }
    return this.#monitor.monitor.run(cpu, line)
  }
}
