/** Names of a guest kernel's functions, from its file or its memory. */
import { isElf } from '@retrap/basics'
import { type LinuxMemory, linuxSymbols } from '@retrap/gdb'
import { CliError } from '../errors.ts'
import { readElf } from '../disasm/elf.ts'
import type { Symbol } from '../disasm/program.ts'
import { SymbolTable } from '../disasm/symbols.ts'

/** Names that one place may have. */
const MOST_ALIASES = 16

/** Names of a kernel's functions, and where they are from. */
export interface Names {
  readonly file: string
  readonly table: SymbolTable
}

/** Names of an ELF kernel's functions; none where it is not one, or is damaged. */
export function elfNames(kernel: Uint8Array | undefined): Names[] {
  if (kernel === undefined || !isElf(kernel)) return []
  try {
    // Those of each section are the same, unless the file is not linked yet.
    const [section] = readElf(kernel).sections
    return namesOf('kernel', sized(section?.symbols ?? []))
  } catch (error) {
    if (error instanceof CliError) return []
    throw error
  }
}

/** Symbols of which those without a size, as assembly has them, reach to the next one. */
export function sized(symbols: readonly Symbol[]): readonly Symbol[] {
  const sorted = symbols.toSorted((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0))
  return sorted.map((symbol, i) => {
    const next = sorted.slice(i + 1, i + 1 + MOST_ALIASES).find(({ address }) => address > symbol.address)
    return symbol.size > 0n || next === undefined ? symbol : { ...symbol, size: next.address - symbol.address }
  })
}

/** Names of the functions of a Linux kernel that runs in a machine, as its memory has them. */
export const linuxNames = (machine: LinuxMemory): Names[] => namesOf('linux', linuxSymbols(machine))

function namesOf(file: string, symbols: readonly Symbol[]): Names[] {
  // Places are counted from 0 both ways: the upper half's are negative.
  return symbols.length === 0 ? [] : [{ file, table: new SymbolTable(symbols, 0n) }]
}
