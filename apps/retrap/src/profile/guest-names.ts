/** Names of a guest kernel's functions, from its file or its memory. */
import { isElf } from '@retrap/basics'
import { type LinuxMemory, linuxSymbols, type NamedPlace, sized, SymbolTable } from '@retrap/symbols'
import { CliError } from '../errors.ts'
import { readElf } from '../disasm/elf.ts'

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

/** Names of the functions of a Linux kernel that runs in a machine, as its memory has them. */
export const linuxNames = (machine: LinuxMemory): Names[] =>
  namesOf(
    'linux',
    linuxSymbols(machine).filter(({ isCode }) => isCode),
  )

/** The function at an address, and where its name is from; undefined: it has none. */
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
