/** `--symbols FILE`: an ELF file whose functions give code of processes names. */
import { basename } from 'node:path'
import {
  buildIdOf,
  elfFunctions,
  type ElfLayout,
  elfLayout,
  elfTables,
  FunctionStarts,
  isSameLayout,
  type NamedPlace,
  type ReadLinked,
  sized,
  SymbolsError,
  SymbolTable,
} from '@retrap/symbols'
import { CliError } from '@retrap/linux-guest/errors'
import { readInput } from '@retrap/linux-guest/host/files'

/** The known functions of a program. */
export interface ProgramNames {
  /** The symbols, by the addresses that the program was linked for. */
  readonly table: SymbolTable
  /** Start addresses of functions, including unnamed ones. */
  readonly starts: FunctionStarts
}

/** A program that processes may execute. */
export class SymbolFile implements ProgramNames {
  /** The file's name, without its folder. */
  readonly name: string
  readonly layout: ElfLayout
  readonly table: SymbolTable
  readonly starts: FunctionStarts
  readonly #buildId: string | undefined
  readonly #read: ReadLinked

  /** @throws CliError `ERR_INPUT` for a file that is no program, or is damaged, or names no functions */
  constructor(path: string, bytes: Uint8Array) {
    const layout = elfLayout(bytes)
    if (layout === undefined) throw new CliError('ERR_INPUT', `--symbols ${path}: it is no ELF program or library`)
    this.name = basename(path).replace(/\.debug$/, '')
    this.layout = layout
    this.#read = (address, count) => {
      const segment = layout.segments.find(
        ({ virtualAddress: start, fileBytes }) =>
          address >= start && address + BigInt(count) <= start + BigInt(fileBytes),
      )
      if (segment === undefined) return undefined
      const from = segment.offset + Number(address - segment.virtualAddress)
      return from + count <= bytes.length ? bytes.subarray(from, from + count) : undefined
    }
    this.#buildId = buildIdOf(layout, this.#read)
    const symbols = sized(functionsOf(path, bytes))
    this.table = new SymbolTable(symbols, 0n)
    this.starts = new FunctionStarts(layout, this.#read)
    if (symbols.length === 0 && this.starts.isEmpty)
      throw new CliError('ERR_INPUT', `--symbols ${path}: it has no symbols; give the file that it was before strip`)
  }

  /** Whether a program in memory, perhaps a stripped one, is the program of this file. @param buildId - undefined: unknown */
  isOf(layout: ElfLayout, buildId: string | undefined): boolean {
    return buildId !== undefined && this.#buildId !== undefined
      ? buildId === this.#buildId
      : isSameLayout(this.layout, layout)
  }

  /** Returns code of a program at its link address; undefined if the file has no code at it. */
  fixedCode(address: bigint, count: number): Uint8Array | undefined {
    return this.layout.isFixed ? this.#read(address, count) : undefined
  }
}

/** @throws CliError `ERR_INPUT` for a damaged file */
function functionsOf(path: string, bytes: Uint8Array): readonly NamedPlace[] {
  try {
    return elfFunctions(elfTables(bytes))
  } catch (error) {
    throw error instanceof SymbolsError ? new CliError('ERR_INPUT', `--symbols ${path}: ${error.message}`) : error
  }
}

/** Reads the files of `--symbols`. @throws CliError `ERR_INPUT` */
export function readSymbolFiles(paths: readonly string[]): Promise<SymbolFile[]> {
  return Promise.all(paths.map(async (path) => new SymbolFile(path, await readInput(`--symbols ${path}`, path))))
}
