/** Names of a guest kernel's functions, from its file or its memory. */
import { PAGE_BYTES } from '@retrap/memory'
import { CliError } from '../errors.ts'
import { isElf, readElf } from '../disasm/elf.ts'
import type { Symbol } from '../disasm/program.ts'
import { SymbolTable } from '../disasm/symbols.ts'
import type { Machine } from '../machine/machine-contract.ts'
import { readKallsyms } from './kallsyms.ts'

/** Names that one place may have. */
const MOST_ALIASES = 16

/** Names of a kernel's functions, and where they are from. */
export interface Names {
  readonly file: string
  readonly table: SymbolTable
}

/** The part of a machine that is read to name its guest's functions. */
export type NamedMachine = Pick<Machine, 'memory'> & { readonly domain: Pick<Machine['domain'], 'p2m' | 'secondLevel'> }

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
export const linuxNames = (machine: NamedMachine): Names[] => namesOf('linux', linuxSymbols(machine))

/** Functions of a Linux kernel that runs in a machine, as its memory has them; none where no kernel is found. */
export function linuxSymbols({ domain, memory }: NamedMachine): Symbol[] {
  let gfn = 0
  let mfn = 0
  let frames = 0
  const search = (): Symbol[] =>
    frames === 0 ? [] : readKallsyms(memory.u8.subarray(mfn * PAGE_BYTES, (mfn + frames) * PAGE_BYTES))
  // Contents that a restored machine has not needed yet are brought, which changes the map.
  for (const leaf of [...domain.p2m.leaves()]) {
    const ma = domain.p2m.isRam(leaf.type) ? domain.secondLevel.peek(leaf.gfn * PAGE_BYTES) : -1
    if (ma < 0) continue
    const count = 2 ** leaf.order
    const from = ma / PAGE_BYTES
    if (leaf.gfn === gfn + frames && from === mfn + frames) {
      frames += count
      continue
    }
    const found = search()
    if (found.length > 0) return found
    gfn = leaf.gfn
    mfn = from
    frames = count
  }
  return search()
}

function namesOf(file: string, symbols: readonly Symbol[]): Names[] {
  // Places are counted from 0 both ways: the upper half's are negative.
  return symbols.length === 0 ? [] : [{ file, table: new SymbolTable(symbols, 0n) }]
}
