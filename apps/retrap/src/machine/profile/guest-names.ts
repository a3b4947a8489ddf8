/** Names of a guest kernel's functions, from its file or its memory. */
import { isElf } from '@retrap/basics'
import { type LinuxMemory, linuxSymbols, type NamedPlace, sized, SymbolTable } from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'
import { readElf } from '../programs/elf.ts'

/** Kernels are above: x86's of 32 bits begin here. */
const KERNELS = 0xc000_0000n
/** Addresses without a name after which memory is searched for a kernel's names: each search takes a part of a second. */
const SEARCHES: ReadonlySet<number> = new Set([1, 100, 10_000, 1_000_000])

/** Names of a guest's code while the code executes, from its ELF file and from Linux's symbols in memory. */
export class CodeNames {
  #machine: LinuxMemory | undefined
  #file: readonly Names[] = []
  #linux: readonly Names[] = []
  /** Addresses that had no name. */
  #unnamed = 0

  /** Gives names to the code of another machine from now on. */
  attach(machine: LinuxMemory, kernel: Uint8Array | undefined): void {
    this.#machine = machine
    this.#file = elfNames(kernel)
    this.#linux = []
    this.#unnamed = 0
  }

  /** Returns the function at a linear address; undefined if unknown. */
  nameOf(address: bigint): string | undefined {
    const [name] = functionAt(this.#file, address) ?? functionAt(this.#linux, address) ?? []
    if (name !== undefined || address < KERNELS || this.#linux.length > 0) return name
    this.#unnamed++
    if (this.#machine === undefined || !SEARCHES.has(this.#unnamed)) return undefined
    this.#linux = linuxNames(this.#machine)
    return functionAt(this.#linux, address)?.[0]
  }
}

/** Names of a kernel's functions, with their source. */
export interface Names {
  readonly file: string
  readonly table: SymbolTable
}

/** Names of an ELF kernel's functions; empty for a file that is no ELF file, or is damaged. */
export function elfNames(kernel: Uint8Array | undefined): Names[] {
  if (kernel === undefined || !isElf(kernel)) return []
  try {
    // Each section lists the same symbols, unless the file is not linked yet.
    const [section] = readElf(kernel).sections
    return namesOf('kernel', sized(section?.symbols ?? []))
  } catch (error) {
    if (error instanceof CliError) return []
    throw error
  }
}

/** Names of the functions of a running Linux kernel, from its memory. */
export const linuxNames = (machine: LinuxMemory): Names[] =>
  namesOf(
    'linux',
    linuxSymbols(machine).filter(({ isCode }) => isCode),
  )

/** Returns the function at an address, and the file that names it; undefined if no file names the address. */
export function functionAt(
  names: readonly Names[],
  address: bigint,
): readonly [name: string, file: string] | undefined {
  for (const { file, table } of names) {
    const index = table.indexOf(table.placeOf(address))
    if (index >= 0) return [table.name(index), file]
  }
  return undefined
}

function namesOf(file: string, symbols: readonly NamedPlace[]): Names[] {
  // Places are counted from 0 both ways: the upper half's are negative.
  return symbols.length === 0 ? [] : [{ file, table: new SymbolTable(symbols, 0n) }]
}
