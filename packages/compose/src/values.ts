// Readers of values. A reader takes a place in a tree and returns a part of the model, or throws a ComposeError.
import { describeArgument, nanosecondsOf } from '@retrap/basics'
import { ComposeError, type ComposeErrorCode, type ComposePlace } from './errors.ts'
import type { Node } from './tree.ts'

/** Linux has no longer argument: MAX_ARG_STRLEN. */
const MOST_TEXT = 131_072

/** The surroundings of a value: variables, folders, and a list for notices. */
export interface Reading {
  /** Name of the project. */
  readonly project: string
  /** By file: the folder that the paths in it are relative to. */
  readonly folders: ReadonlyMap<string, string>
  /** Variables of the host and of the project's environment files. */
  readonly variables: ReadonlyMap<string, string>
  /** Places of the keys that have been read. */
  readonly places: Map<string, ComposePlace>
  note(place: ComposePlace, key: string, text: string): void
}

/** A value with its path from the top of the file. */
export class Spot {
  readonly node: Node
  readonly path: string
  readonly reading: Reading

  constructor(node: Node, path: string, reading: Reading) {
    this.node = node
    this.path = path
    this.reading = reading
    reading.places.set(path, node.place)
  }

  fail(reason: string, code: ComposeErrorCode = 'ERR_VALUE'): never {
    throw new ComposeError(code, this.node.place, this.path, reason)
  }

  /** Fails with the value, and the values that are expected. */
  wrong(expected: string): never {
    const { value } = this.node
    return this.fail(`${value instanceof Map ? 'a mapping' : describeArgument(value)}: expected ${expected}`)
  }

  note(text: string): void {
    this.reading.note(this.node.place, this.path, text)
  }

  get isMap(): boolean {
    return this.node.value instanceof Map
  }

  get isList(): boolean {
    return Array.isArray(this.node.value)
  }

  /** The entries of a mapping; none for null. */
  entries(): [key: string, spot: Spot][] {
    const { value } = this.node
    if (value === null) return []
    if (!(value instanceof Map)) return this.wrong('a mapping')
    const below = this.path === '' ? '' : `${this.path}.`
    return [...(value as ReadonlyMap<string, Node>)].map(([key, node]) => [
      key,
      new Spot(node, below + key, this.reading),
    ])
  }

  /** The items of a list; a single value is a list of one, null is none. */
  items(): Spot[] {
    const { value } = this.node
    if (value === null) return []
    if (value instanceof Map) return this.wrong('a list')
    const items = Array.isArray(value) ? (value as readonly Node[]) : [this.node]
    return items.map((node) => new Spot(node, this.path, this.reading))
  }
}

export type Reader<T> = (spot: Spot) => T

type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S
/** Readers of the keys of a mapping, by key. */
export type Table = Readonly<Record<string, Reader<unknown>>>
/** The fields that a table reads: `working_dir` is `workingDir`. All are optional. */
export type Fields<T extends Table> = { readonly [K in keyof T & string as Camel<K>]?: ReturnType<T[K]> }

/** Reads a mapping by a table. @param notDone - keys of the specification that the model does not have */
export function fields<const T extends Table>(spot: Spot, table: T, notDone = ''): Fields<T> {
  const values: Record<string, unknown> = {}
  for (const [key, one] of spot.entries()) {
    if (key.startsWith('x-')) continue
    const reader = Object.hasOwn(table, key) ? table[key] : undefined
    if (reader === undefined) {
      const isKnown = notDone.split(/\s+/).includes(key)
      one.note(isKnown ? 'this key is not done' : 'the Compose Specification has no such key here')
    } else if (one.node.value !== null)
      values[key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())] = reader(one)
  }
  return values as Fields<T>
}

/** Reads the extensions of a mapping, which are the keys that begin with `x-`, as plain values. */
export const extensions: Reader<ReadonlyMap<string, unknown>> = (spot) =>
  new Map(spot.entries().flatMap(([key, { node }]) => (key.startsWith('x-') ? [[key, plain(node)]] : [])))

function plain({ value }: Node): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [key, plain(one as Node)]))
  return Array.isArray(value) ? (value as readonly Node[]).map(plain) : value
}

/** Reads a mapping whose keys are names. */
export const dictionary =
  <T>(reader: Reader<T>): Reader<ReadonlyMap<string, T>> =>
  (spot) =>
    new Map(spot.entries().map(([key, one]) => [key, reader(one)]))

/** Reads a list. Of items with the same key the last one counts. */
export function unique<T>(spot: Spot, keyOf: (item: T) => string, reader: Reader<T | readonly T[]>): readonly T[] {
  const read = spot.items().flatMap((item) => reader(item))
  return [...new Map(read.map((item) => [keyOf(item), item])).values()]
}

export const text: Reader<string> = (spot) => {
  const { value } = spot.node
  return value === null || typeof value === 'object' ? spot.wrong('a text') : String(value)
}

/** Reads a list of texts, each once; a single text is a list of one. */
export const texts: Reader<readonly string[]> = (spot) => [...new Set(spot.items().map(text))]

export const flag: Reader<boolean> = (spot) => {
  const value = text(spot).toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(value)) return true
  return ['false', '0', 'no', 'off'].includes(value) ? false : spot.wrong('true or false')
}

export const number: Reader<number> = (spot) => {
  const value = Number(text(spot).trim() || Number.NaN)
  return Number.isFinite(value) && value >= 0 ? value : spot.wrong('a number from 0')
}

export const integer: Reader<number> = (spot) =>
  Number.isSafeInteger(number(spot)) ? number(spot) : spot.wrong('a whole number from 0')

/** Reads permissions of a file: an octal number, also as a text. */
export const mode: Reader<number> = (spot) => {
  const { value } = spot.node
  const bits = typeof value === 'string' ? Number.parseInt(/^0?o?([0-7]+)$/.exec(value)?.[1] ?? '', 8) : integer(spot)
  return bits >= 0 && bits <= 0o7777 ? bits : spot.wrong('permissions, such as 0440')
}

/** Reads a time, such as `1m30s`. @returns nanoseconds */
export const duration: Reader<number> = (spot) => {
  const given = text(spot)
  const parts = given.match(/[\d.]+[a-zµ]+/gi) ?? []
  const sum = parts.reduce((total, part) => total + (nanosecondsOf(part) ?? Number.NaN), 0)
  const isWhole = (parts.length > 0 && parts.join('') === given) || given === '0'
  return isWhole && sum <= Number.MAX_SAFE_INTEGER ? Math.round(sum) : spot.wrong('a time with its unit, such as 1m30s')
}

/** Reads a size, such as `64m` or a number of bytes. @returns bytes; units are powers of 1024 */
export const bytes: Reader<number> = (spot) => {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text(spot)) ?? []
  const size = Math.floor(Number(amount) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '))
  return Number.isSafeInteger(size) ? size : spot.wrong('a size, such as 64m')
}

export const oneOf =
  <const T extends string>(...choices: readonly T[]): Reader<T> =>
  (spot) =>
    choices.find((choice) => choice === text(spot)) ?? spot.wrong(choices.join(', '))

/** Reads words: a list, or a text that is split as a shell splits it, without expansions. */
export const words: Reader<readonly string[]> = (spot) => {
  if (spot.isList) return spot.items().map(text)
  const source = text(spot)
  if (source.length > MOST_TEXT) spot.fail(`more than ${MOST_TEXT} characters`, 'ERR_LIMIT')
  const WORD = /\s*((?:[^\s'"\\]|\\[^]|'[^']*'|"(?:[^"\\]|\\[^])*")+)/y
  const found: string[] = []
  while (source.slice(WORD.lastIndex).trim() !== '') {
    const [, word] = WORD.exec(source) ?? spot.fail(`${describeArgument(source)} has a quote or a "\\" without its end`)
    found.push((word as string).replace(/\\([^])|'([^']*)'|"((?:[^"\\]|\\[^])*)"/g, unquoted))
  }
  return found
}

function unquoted(_: string, escaped?: string, single?: string, double?: string): string {
  if (escaped !== undefined) return escaped === '\n' ? '' : escaped
  return single ?? (double as string).replace(/\\(["\\$`])|\\\n/g, '$1')
}

/** Reads a mapping of texts; a key without a value has an empty text. */
export const record: Reader<ReadonlyMap<string, string>> = dictionary((one) =>
  one.node.value === null ? '' : text(one),
)

/** Reads a mapping of texts; a key without a value has that of the host's variable, or is left out. */
export const environment: Reader<ReadonlyMap<string, string>> = (spot) => {
  const valueOf = (key: string, one: Spot) => (one.node.value === null ? spot.reading.variables.get(key) : text(one))
  const values = spot.entries().map(([key, one]) => [key, valueOf(key, one)] as const)
  return new Map(values.filter((one): one is [string, string] => one[1] !== undefined))
}

/** Reads a path of the host. */
export const path: Reader<string> = (spot) => hostPath(spot, text(spot))

/** A path of the host, from the folder of its file or, with `~`, from the user's. Addresses stay as they are. */
export function hostPath({ node, reading }: Spot, given: string): string {
  if (/^[a-z]+:\/\/|^git@/.test(given)) return given
  const home = /^~(?:\/|$)/.test(given) ? reading.variables.get('HOME') : undefined
  const folder = reading.folders.get(node.place.file) ?? '.'
  return home === undefined ? joined(folder, given) : joined(home, `./${given.slice(2)}`)
}

/** Joins a path to a folder, without `.` and `..` in the middle. */
export function joined(folder: string, given: string): string {
  const whole = /^(?:\/|[A-Za-z]:[\\/])/.test(given) ? given : `${folder}/${given}`
  const parts: string[] = []
  for (const part of whole.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..' || parts.length === 0 || parts.at(-1) === '..') parts.push(part)
    else parts.pop()
  }
  return (whole.startsWith('/') ? '/' : '') + parts.join('/') || '.'
}
