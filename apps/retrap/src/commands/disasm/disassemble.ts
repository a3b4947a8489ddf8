/** Lists the code of a file. It knows nothing of the command line. */
import { concatenate, isElf } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'
import { readInput } from '@retrap/linux-guest/host/files'
import { type ListingOutput, plainListed, printText } from '../../print-lines.ts'
import { usage } from '../../options/values.ts'
import type { listArmSection } from './arm-listing.ts'
import { readElf } from '../../machine/programs/elf.ts'
import { type Syntax, PlainLines } from './plain-lines.ts'
import { cut, listSection, type ListingOptions } from './listing.ts'
import { peHeader, readPe } from './pe.ts'
import type { Architecture, Mode, Program } from '../../machine/programs/program.ts'
import { SymbolTable } from '@retrap/symbols'

/** The options of a listing. */
export interface DisasmFlags {
  readonly arch?: Architecture
  readonly mode?: '16' | '32' | '64'
  readonly syntax: Syntax
  readonly raw?: boolean
  readonly address?: bigint
  readonly start?: bigint
  readonly stop?: bigint
  readonly color: 'auto' | 'always' | 'never'
}

/** The values without options. */
export const DEFAULT_FLAGS: DisasmFlags = { syntax: 'intel', color: 'auto' }

/** The streams and variables of the process that lists. */
export interface DisasmHost {
  readonly output: ListingOutput
  readonly terminal: ProgressTerminal
  readonly environment: NodeJS.ProcessEnv
  /** The standard input. */
  input(): AsyncIterable<Uint8Array>
}

/**
 * Prints the listing of a file.
 *
 * @param path - `-` for the standard input
 * @throws CliError for a file or flags that are invalid
 */
export async function disassemble(path: string, flags: DisasmFlags, host: DisasmHost): Promise<void> {
  const { output, terminal, environment } = host
  if (flags.start !== undefined && flags.stop !== undefined && flags.stop <= flags.start) {
    throw usage(`--stop ${hex(flags.stop)} is not after --start ${hex(flags.start)}`)
  }
  const loaded = load(path === '-' ? await readAll(host.input()) : await readInput(path, path), path, flags)
  const architecture = flags.arch ?? loaded.architecture
  if (architecture !== 'x86' && flags.mode !== undefined)
    throw usage('--mode is for x86 code; leave it out for Arm code')
  if (architecture !== 'x86' && flags.syntax !== DEFAULT_FLAGS.syntax)
    throw usage(`--syntax ${flags.syntax} is for x86 code; leave it out for Arm code`)
  const parts = cutAll(loaded, path, flags)
  const total = parts.reduce((sum, { bytes }) => sum + bytes.length, 0)
  // A listing on the terminal needs no progress line.
  const progress =
    terminal.isTTY === true && output.isTTY !== true
      ? listingProgress(terminal, path, total, () => performance.now())
      : undefined
  const colour = wantsColour(flags.color, output, environment)
  // An instruction set given on the command line applies to the whole file: the file's own marks are ignored.
  const sections = flags.arch === undefined ? parts : parts.map((part) => ({ ...part, marks: [] }))
  const program: Program = { ...loaded, architecture, sections }
  // The tables of Arm are large: x86 code does without them.
  const listArm = program.architecture === 'x86' ? undefined : (await import('./arm-listing.ts')).listArmSection
  try {
    await printText(listing(program, path, flags, colour, progress, listArm), output)
  } finally {
    progress?.end()
  }
}

/** Most bytes of a piped input. Files have the same limit: Node's arrays hold no more. */
const MAX_INPUT_BYTES = 2 ** 31

/** Reads a stream to its end. */
async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    length += chunk.length
    if (length > MAX_INPUT_BYTES) throw new CliError('ERR_INPUT', '-: it is larger than 2 GiB')
    chunks.push(chunk)
  }
  return concatenate(chunks)
}

/** Whether to colour: on a terminal, unless it or the user asks for none (https://no-color.org). */
export function wantsColour(
  when: DisasmFlags['color'],
  output: Pick<ListingOutput, 'isTTY'>,
  environment: NodeJS.ProcessEnv,
): boolean {
  if (when !== 'auto') return when === 'always'
  return output.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb'
}

function load(bytes: Uint8Array, path: string, flags: DisasmFlags): Program {
  const pe = peHeader(bytes)
  const isFormatted = flags.raw !== true && (isElf(bytes) || pe !== undefined)
  if (isFormatted && flags.address !== undefined) {
    throw usage('--address is for plain code; this file has addresses of its own (--raw ignores them)')
  }
  try {
    if (isFormatted) return pe === undefined ? readElf(bytes) : readPe(bytes, pe)
  } catch (error) {
    throw error instanceof CliError ? new CliError(error.code, `${path}: ${error.message}`) : error
  }
  const address = flags.address ?? 0n
  if (address + BigInt(bytes.length) > 1n << 64n) {
    throw usage(`--address ${hex(address)} leaves no room for the ${bytes.length} bytes of ${path} below 2^64`)
  }
  return { format: 'raw', architecture: 'x86', mode: 64, sections: [{ name: 'code', address, bytes, symbols: [] }] }
}

/** Returns the sections between --start and --stop. */
function cutAll(program: Program, path: string, { start, stop }: DisasmFlags): Program['sections'] {
  const sections = program.sections.map((section) => cut(section, start, stop)).filter((part) => part !== undefined)
  if (sections.length === 0) throw new CliError('ERR_INPUT', `${path}: ${whyEmpty(program)}`)
  return sections
}

/** The whole listing, in pieces of many lines. */
function* listing(
  program: Program,
  path: string,
  flags: DisasmFlags,
  colour: boolean,
  progress: ListingProgress | undefined,
  listArm: typeof listArmSection | undefined,
): Generator<string | Uint8Array, void> {
  const { stop } = flags
  const { architecture } = program
  const mode = flags.mode === undefined ? program.mode : (Number(flags.mode) as Mode)
  const format = program.format === 'raw' ? 'plain code' : program.format
  yield plainListed(`${path}: ${format}, ${architecture === 'x86' ? `${mode}-bit` : architecture}`)
  const plain = new PlainLines(mode, flags.syntax)
  let before = 0
  let symbols: SymbolTable | undefined
  for (const section of program.sections) {
    const start = before
    symbols = new SymbolTable(section.symbols, section.address, symbols)
    const options: ListingOptions = {
      ...{ mode, syntax: flags.syntax, colour },
      ...(stop === undefined ? {} : { stop }),
      onProgress: (bytes) => progress?.report(start + bytes),
    }
    yield '\n'
    const pieces =
      listArm === undefined || architecture === 'x86'
        ? listSection(section, options, plain, symbols)
        : listArm(section, options, architecture, symbols)
    // Colours are orders for a terminal. The names of the file were cleaned when they were read.
    for (const piece of pieces) yield typeof piece === 'string' ? Buffer.from(piece) : piece
    before += section.bytes.length
  }
}

function whyEmpty({ sections }: Program): string {
  const filled = sections.filter(({ bytes }) => bytes.length > 0)
  if (filled.length === 0) return 'there is no code in it'
  const ranges = filled.map(
    ({ name, address, bytes }) => `${name} from ${hex(address)} to ${hex(address + BigInt(bytes.length))}`,
  )
  return `there is no code between --start and --stop; it has ${ranges.slice(0, 5).join(', ')}`
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}

/** The terminal for a progress line: a stream of Node's, as far as used here. */
export interface ProgressTerminal {
  readonly isTTY?: boolean
  write(data: string): unknown
}

/** Time after which the line of progress first appears: shorter listings show none. */
const FIRST_MILLISECONDS = 500
const NEXT_MILLISECONDS = 200

/** ECMA-48: erases to the end of the line. */
const ERASE = '\u001B[K'

/** A progress line on a terminal, for listings written elsewhere. */
interface ListingProgress {
  /** Shows the progress. @param bytes - code listed so far */
  report(bytes: number): void
  /** The listing is over: the line disappears. */
  end(): void
}

/**
 * @param what - name of the listed file
 * @param totalBytes - length of the listed code
 * @param now - a clock in milliseconds
 */
export function listingProgress(
  terminal: ProgressTerminal,
  what: string,
  totalBytes: number,
  now: () => number,
): ListingProgress {
  let next = now() + FIRST_MILLISECONDS
  let isShown = false
  return {
    report(bytes) {
      const time = now()
      if (time < next) return
      next = time + NEXT_MILLISECONDS
      isShown = true
      terminal.write(`\r${what}: ${Math.floor((100 * bytes) / totalBytes)} %${ERASE}`)
    },
    end() {
      if (isShown) terminal.write(`\r${ERASE}`)
    },
  }
}
