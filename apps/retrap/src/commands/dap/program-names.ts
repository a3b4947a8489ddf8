import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type FileSource,
  type LinuxMemory,
  type LineTable,
  linuxSymbols,
  readElfTables,
  readLines,
  sized,
  type SourceLine,
  SymbolsError,
  SymbolTable,
} from '@retrap/symbols'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import { readAt } from '../../machine/recording/recorded-file.ts'

/** The first byte of Linux's code has this name. */
const FIRST = '_stext'

/** Symbols of code and data: a file's, and symbols that Linux keeps in guest memory. */
export class ProgramNames {
  readonly #file: SymbolTable | undefined
  readonly #lines: LineTable | undefined
  readonly #folder: string | undefined
  #linux: SymbolTable | undefined
  /** Offset from addresses in the file to addresses in memory. */
  #moved = 0n

  private constructor(file: SymbolTable | undefined, lines: LineTable | undefined, folder: string | undefined) {
    this.#file = file
    this.#lines = lines
    this.#folder = folder
  }

  /**
   * Reads a program's symbols, and its line table if the file has debug information.
   *
   * @param folder - folder of the sources, if they have moved since compilation
   * @throws CliError `ERR_INPUT` for a file that cannot be read
   */
  static async read(program: string | undefined, folder: string | undefined): Promise<ProgramNames> {
    if (program === undefined) return new ProgramNames(undefined, undefined, folder)
    const handle = await open(program).catch(troubled(`program ${program}`))
    try {
      const source: FileSource = {
        size: (await handle.stat()).size,
        read: (offset, length) => readAt(handle, offset, length),
      }
      const { symbols } = await readElfTables(source)
      return new ProgramNames(new SymbolTable(sized(symbols), 0n), await linesOf(source), folder)
    } catch (error) {
      throw error instanceof SymbolsError ? new CliError('ERR_INPUT', `program ${program}: ${error.message}`) : error
    } finally {
      await handle.close()
    }
  }

  /** Searches memory for Linux's own symbols, unless already known. @returns whether new symbols were found */
  look(memory: LinuxMemory | undefined): boolean {
    if (this.#linux !== undefined || memory === undefined) return false
    const symbols = linuxSymbols(memory)
    if (symbols.length === 0) return false
    this.#linux = new SymbolTable(symbols, 0n)
    const [there, linked] = [this.#linux.addressOf(FIRST), this.#file?.addressOf(FIRST)]
    if (there !== undefined && linked !== undefined) this.#moved = there - linked
    return true
  }

  /** Forgets symbols found in memory: after a reset the kernel lies elsewhere. */
  forget(): void {
    this.#linux = undefined
    this.#moved = 0n
  }

  /** `name` or `name+0x10`. */
  nameOf(address: bigint): string | undefined {
    return this.#linux?.nameOf(address) ?? this.#file?.nameOf(this.#linked(address))
  }

  addressOf(name: string): bigint | undefined {
    const linked = this.#file?.addressOf(name)
    return this.#linux?.addressOf(name) ?? (linked === undefined ? undefined : this.#inMemory(linked))
  }

  /** Address of the function, or other place with a name, that an address is in. */
  startOf(address: bigint): bigint | undefined {
    const name = this.nameOf(address)
    const [, offset = '0x0'] = /\+(0x[\da-f]+)$/.exec(name ?? '') ?? []
    return name === undefined ? undefined : address - BigInt(offset)
  }

  /** Returns the source line of an address, with the path on this host if known. */
  lineOf(address: bigint): SourceLine | undefined {
    const line = this.#lines?.lineOf(this.#linked(address))
    return line && { ...line, file: this.#localOf(line.file) }
  }

  /** Addresses of a line. @param path - on this host: the longest end of it that the program knows counts */
  addressesOf(path: string, line: number): bigint[] {
    const parts = path.split(/[/\\]/)
    for (let i = 0; i < parts.length; i++) {
      const found = this.#lines?.addressesOf(parts.slice(i).join('/'), line) ?? []
      if (found.length > 0) return found.map((address) => this.#inMemory(address))
    }
    return []
  }

  #localOf(file: string): string {
    if (this.#folder === undefined) return file
    const parts = file.split('/')
    const found = parts.findIndex((_, i) => existsSync(join(this.#folder ?? '', ...parts.slice(i))))
    return found < 0 ? file : join(this.#folder, ...parts.slice(found))
  }

  #linked(address: bigint): bigint {
    return BigInt.asUintN(64, address - this.#moved)
  }

  #inMemory(address: bigint): bigint {
    return BigInt.asUintN(64, address + this.#moved)
  }
}

/** Reads a program's line table; undefined if the file has none. */
async function linesOf(source: FileSource): Promise<LineTable | undefined> {
  try {
    return await readLines(source)
  } catch (error) {
    if (error instanceof SymbolsError && error.code !== 'ERR_DAMAGED') return undefined
    throw error
  }
}
