import { KIB, secondsIn } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'
import type { OptionRow } from './option-table.ts'

export type SerialTarget =
  | { readonly kind: 'stdio' }
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'pty' }

/** A `--device` argument: its name, and its properties by key. */
export interface DeviceArgument {
  readonly name: string
  readonly properties: ReadonlyMap<string, string>
}

const UNITS: Readonly<Record<string, number>> = { '': KIB ** 2, b: 1, k: KIB, m: KIB ** 2, g: KIB ** 3, t: KIB ** 4 }

/** The most memory below the 4 GiB of a machine memory, beside the machine's own. */
const MAX_MEMORY_BYTES: number = 3584 * KIB ** 2
const MIN_MEMORY_BYTES: number = 2 * KIB ** 2
/** The most CPUs that `@retrap/machine` makes. */
const MAX_CPUS = 128

/**
 * Reads an amount of guest memory in bytes. `512M`, `1G`, `512MiB`; a bare number counts MiB, as in QEMU.
 *
 * @throws CliError `ERR_USAGE` for a text that is no size, or a size that no machine can have
 */
export function parseMemory(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(b?|[kmgt](?:i?b)?)$/i.exec(text.trim())
  const unit = UNITS[match?.[2]?.[0]?.toLowerCase() ?? '']
  if (match === null || unit === undefined) {
    throw usage(`--memory '${text}' is not a size; write it as 512M, 1G or 512MiB`)
  }
  const bytes = Number(match[1]) * unit
  if (bytes < MIN_MEMORY_BYTES) throw usage(`--memory ${text} is too little for any guest; give at least 2M`)
  if (bytes > MAX_MEMORY_BYTES) {
    throw usage(
      `--memory ${text} is too much; a machine lies in one 32-bit memory of WebAssembly (a 64-bit one would make every load about 10 % slower): give at most 3584M`,
    )
  }
  if (bytes % 4096 !== 0) throw usage(`--memory ${text} is not a whole number of 4 KiB pages`)
  return bytes
}

/** An option for an amount of guest memory. */
export const MEMORY_SIZE: Pick<OptionRow, 'parse' | 'schema'> = {
  parse: parseMemory,
  schema: {
    anyOf: [
      { type: 'number', minimum: MIN_MEMORY_BYTES / KIB ** 2, maximum: MAX_MEMORY_BYTES / KIB ** 2 },
      { type: 'string', pattern: '^ *\\d+(\\.\\d+)?([bB]?|[kmgtKMGT]([iI]?[bB])?) *$' },
    ],
  },
}

export function parseCpus(text: string): number {
  const count = parseWhole(text)
  if (count === undefined || count < 1 || count > MAX_CPUS) {
    throw usage(`--cpus ${text} is not a number of CPUs; give one from 1 to ${MAX_CPUS}`)
  }
  return count
}

/** An option for a number of CPUs. */
export const CPU_COUNT: Pick<OptionRow, 'parse' | 'schema'> = {
  parse: parseCpus,
  schema: {
    anyOf: [
      { type: 'integer', minimum: 1, maximum: MAX_CPUS },
      { type: 'string', pattern: '^ *(0[xX][0-9a-fA-F]+|\\d+) *$' },
    ],
  },
}

/** An option for seconds; its value is in milliseconds. */
export const secondsOf = (option: string, examples?: string): Pick<OptionRow, 'parse' | 'schema'> => ({
  parse: parseSeconds(option, examples),
  schema: {
    anyOf: [
      { type: 'number', exclusiveMinimum: 0 },
      { type: 'string', pattern: '^ *(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+|(ns|[uµ]s|ms|s|m|min|h))? *$' },
    ],
  },
})

/** An option for seconds that may also be `off`: no limit. */
export const secondsOrOff = (option: string, examples?: string): Pick<OptionRow, 'parse' | 'schema'> => {
  const { parse, schema } = secondsOf(option, examples)
  return {
    parse: (text: string) => (text.trim() === 'off' ? Infinity : (parse as (given: string) => number)(text)),
    schema: { anyOf: [{ const: 'off' }, ...(schema as { readonly anyOf: readonly object[] }).anyOf] },
  }
}

/**
 * A parser for an option's time: seconds, or a number with its unit. It returns milliseconds.
 *
 * @param least - in seconds; with `most` the bounds
 */
export function parseSeconds(
  option: string,
  examples = '30, 500ms or 10m',
  least: number = 0,
  most: number = Infinity,
): (text: string) => number {
  return (text) => {
    const seconds = secondsIn(text) ?? 0
    if (seconds === 0) throw usage(`${option} '${text}' is not a time; give seconds or a unit, such as ${examples}`)
    if (seconds < least || seconds > most) throw usage(`${option} ${text}: expected ${least} to ${most} seconds`)
    return seconds * 1000
  }
}

/** Returns a parser for an option's whole number. */
export const wholeFrom =
  (option: string, least: number, most: number) =>
  (text: string): number => {
    const number = parseWhole(text)
    if (number !== undefined && number >= least && number <= most) return number
    throw usage(`${option} ${text}: expected ${least} to ${most}`)
  }

export function parseSerial(text: string): SerialTarget {
  if (text === 'stdio' || text === 'none' || text === 'pty') return { kind: text }
  const [, kind, rest = ''] = /^(file|unix|tcp):(.+)$/.exec(text) ?? []
  if (kind === 'file' || kind === 'unix') return { kind, path: rest }
  if (kind === 'tcp') return parseTcp(rest)
  throw usage(`--serial '${text}' is unknown; give stdio, tcp:PORT, unix:PATH, file:FILE, pty or none`)
}

/** `PORT` or `HOST:PORT`, to listen on; without a host nobody on another machine can connect. */
function parseTcp(text: string): SerialTarget {
  const [, host = '127.0.0.1', digits = ''] = /^(?:(.+):)?(\d+)$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port > 0xffff) {
    throw usage(`--serial tcp:${text} names no port to listen on; write tcp:4444 or tcp:0.0.0.0:4444`)
  }
  return { kind: 'tcp', host: host.replace(/^\[(.*)\]$/, '$1'), port }
}

/** Splits at commas. A comma within a part is written twice, as in QEMU, which reads `a,,,b` as `a,` and `b`. */
export function splitPairs(text: string): string[] {
  // No argument of a process has a NUL in it.
  const parts = text.replaceAll(',,', '\0').split(',')
  return parts.map((part) => part.replaceAll('\0', ','))
}

/** Reads parts of the form `key=value`. @param option - its name, in messages @throws CliError `ERR_USAGE` for an unknown key */
export function readPairs(option: string, parts: readonly string[], known: readonly string[]): Map<string, string> {
  const given = new Map<string, string>()
  for (const part of parts) {
    const [key = '', value] = part.split(/=(.*)/s)
    if (!known.includes(key))
      throw usage(`${option} has no '${key}'; it has ${known.join(', ')}${didYouMean(key, known)}`)
    if (value === undefined) throw usage(`${option}: '${part}' is not of the form key=value`)
    given.set(key, value)
  }
  return given
}

/** Splits `NAME,key=value,…`. */
export function parseDevice(text: string): DeviceArgument {
  const [name = '', ...pairs] = splitPairs(text)
  // The words of a program's command may have any character.
  if (name === '' || (name.includes('=') && !name.startsWith('exec:')))
    throw usage(`--device '${text}' names no device; write NAME,key=value`)
  const properties = new Map<string, string>()
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1) throw usage(`--device ${name}: '${pair}' is not of the form key=value`)
    properties.set(pair.slice(0, at), pair.slice(at + 1))
  }
  return { name, properties }
}

/** A parser of an option that may be given several times. */
export const each =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []): readonly T[] => [...before, parse(text)]

/** The values of an option that may be given several times. */
export const asIs: (text: string, before?: readonly string[]) => readonly string[] = each((text) => text)

/** A file for the kernel, with its text. */
export interface ModuleArgument {
  readonly path: string
  readonly commandLine: string
}

/** Splits `FILE TEXT`: the text begins behind the first space. */
export function parseModule(text: string): ModuleArgument {
  const [, path = '', commandLine = ''] = /^(\S+)(?:\s+(.*))?$/s.exec(text.trim()) ?? []
  if (path === '') throw usage("--module '' names no file; write FILE or 'FILE TEXT'")
  return { path, commandLine }
}

/** A whole number in decimal or, with 0x, hexadecimal; undefined for anything else. */
export function parseWhole(text: string): number | undefined {
  return /^(0x[0-9a-f]+|\d+)$/i.test(text.trim()) ? Number(text) : undefined
}

export function usage(message: string): CliError {
  return new CliError('ERR_USAGE', message)
}

/**
 * Reads an address or a register's value of 64 bits, in hexadecimal with 0x or in decimal.
 *
 * @param option - the option's name in messages
 */
export function parseAddress(option: string, kind = 'an address', example = '0x401000'): (text: string) => bigint {
  return (text) => {
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? BigInt(text) : -1n
    if (value < 0n || value >= 1n << 64n) {
      throw usage(`${option} '${text}' is not ${kind}; write it as ${example} or ${Number(example)}`)
    }
    return value
  }
}

/** Edits that turn one text into another: characters put in, taken out, replaced, or two neighbours swapped. */
function distance(a: string, b: string): number {
  let [last, before] = [[] as number[], Array.from({ length: b.length + 1 }, (_, i) => i)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = before[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(row[j - 1]! + 1, before[j]! + 1, replaced)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, last[j - 2]! + 1)
    }
    ;[last, before] = [before, row]
  }
  return before[b.length]!
}

/** Returns `; did you mean NAME?` with the name most similar to a wrong one; empty if none is similar. */
export function didYouMean(wrong: string, names: readonly string[]): string {
  const [nearest] = names
    .map((name) => ({ name, edits: distance(wrong.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(1, Math.floor(Math.max(name.length, wrong.length) / 3)))
    .toSorted((a, b) => a.edits - b.edits)
  return nearest === undefined ? '' : `; did you mean '${nearest.name}'?`
}

const MOST_DECIMAL = 9999

/** Reads the properties of one device or drive, and applies defaults. */
export class Properties {
  readonly #properties: DeviceArgument['properties']
  /** The owner of the properties, for messages. */
  readonly #owner: string

  constructor({ name, properties }: DeviceArgument, owner = `--device ${name}`) {
    this.#properties = properties
    this.#owner = owner
  }

  text(key: string, otherwise: string): string {
    return this.#properties.get(key) ?? otherwise
  }

  whole<T extends number | undefined>(key: string, otherwise: T, most: number, least = 0): number | T {
    const text = this.#properties.get(key)
    if (text === undefined) return otherwise
    const value = parseWhole(text)
    if (value === undefined || value < least || value > most) {
      // Ports and large numbers are known in hexadecimal, sizes and counts in decimal.
      const shown = (limit: number): string => (most > MOST_DECIMAL ? `0x${limit.toString(16)}` : String(limit))
      const range = least === 0 ? `0 to ${shown(most)}` : `${shown(least)} to ${shown(most)}`
      throw usage(`${this.#owner}: ${key}=${text} is not a number from ${range}`)
    }
    return value
  }

  /** Reads a property with some allowed words; default the first word. */
  oneOf<T extends string>(key: string, words: readonly T[]): T {
    const word = this.#properties.get(key) ?? words[0]!
    const found = words.find((one) => one === word)
    if (found !== undefined) return found
    throw usage(`${this.#owner}: ${key}=${word} is unknown; there are ${words.join(', ')}${didYouMean(word, words)}`)
  }

  /** Reads an `on` or `off` property; undefined if not given. */
  flag(key: string): boolean | undefined {
    const text = this.#properties.get(key)
    if (text === undefined) return undefined
    if (text !== 'on' && text !== 'off') throw usage(`${this.#owner}: ${key}=${text} is not on or off`)
    return text === 'on'
  }

  /** Refuses properties that a device does not have. */
  check(known: readonly string[]): void {
    for (const key of this.#properties.keys()) {
      if (!known.includes(key))
        throw usage(`${this.#owner} has no '${key}'; it has ${known.join(', ')}${didYouMean(key, known)}`)
    }
  }
}
