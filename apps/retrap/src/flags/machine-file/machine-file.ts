import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import type { Command } from 'commander'
import { type Schema, type Shape, type TableOption, tableOptions } from '../../options/option-table.ts'
import { didYouMean, splitPairs, usage } from '../../options/values.ts'

/** Keys of a file that are no options. */
const SCHEMA_KEY = '$schema'
export const IMAGES_KEY = 'images'

type Values = Readonly<Record<string, unknown>>

/** The options that a machine file may have, by name. */
export const fileOptions = (command: Command): ReadonlyMap<string, TableOption> =>
  new Map(tableOptions(command).map((option) => [option.name().replace(/^no-/, ''), option]))

/**
 * Returns the disk images among the arguments of `run`. Options of a machine file among them are applied to the
 * command.
 *
 * @param command - a command with parsed arguments
 * @throws CliError
 */
export function imagesOf(named: readonly string[], command: Command): readonly string[] {
  const isMachineFile = (path: string): boolean => /\.json$/i.test(path)
  const described = named.filter(isMachineFile)
  if (described.length > 1) throw usage(`there are two machines, ${described.join(' and ')}; give one`)
  const images = described.flatMap((path) => readMachineFile(path, command))
  return [...images, ...named.filter((path) => !isMachineFile(path))]
}

/**
 * Reads a description of a machine: the options of a command by their names. Options of the command line go before it; options
 * that may be repeated are joined.
 *
 * @param command - a command with parsed arguments; gets the options
 * @returns the disk images that the file names
 * @throws CliError `ERR_INPUT` that names the file, and the place in it
 */
function readMachineFile(path: string, command: Command): readonly string[] {
  return applyMachine(path, '', parse(path), command)
}

/**
 * Gives a command the options that an object describes, as {@link readMachineFile} does.
 *
 * @param part - the object's place in the file, such as `machine`; empty for the whole file
 */
export function applyMachine(path: string, part: string, content: unknown, command: Command): readonly string[] {
  const file = new MachineFile(path, part)
  if (!isObject(content)) throw file.wrong('', 'it has no object with options, such as { "memory": "1G" }')
  const options = fileOptions(command)
  let images: readonly string[] = []
  for (const [key, value] of Object.entries(content)) {
    const option = options.get(key)
    if (key === SCHEMA_KEY) continue
    else if (key === IMAGES_KEY) images = file.images(value)
    else if (option === undefined) throw file.unknown(key, key, [...options.keys(), IMAGES_KEY])
    else file.apply(command, option, key, value)
  }
  return images
}

function parse(path: string): unknown {
  const text = attempt(path, () => readFileSync(path, 'utf8'))
  return attempt(`${path}: it is not JSON`, () => JSON.parse(text) as unknown)
}

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isScalar = (value: unknown): value is string | number | boolean =>
  ['string', 'number', 'boolean'].includes(typeof value)

class MachineFile {
  readonly #path: string
  readonly #part: string

  constructor(path: string, part: string) {
    this.#path = path
    this.#part = part
  }

  /** @param place - place in the file, such as `drive[0].file` */
  wrong(place: string, what: string): CliError {
    const whole = [this.#part, place].filter((name) => name !== '').join('.')
    return new CliError('ERR_INPUT', `${this.#path}: ${whole === '' ? '' : `${whole}: `}${what}`)
  }

  unknown(place: string, key: string, known: readonly string[]): CliError {
    return this.wrong(place, `there is no such option${didYouMean(key, known)}`)
  }

  images(value: unknown): readonly string[] {
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
      throw this.wrong(IMAGES_KEY, 'expected a list of file names')
    return value.map((one) => this.#resolve(one))
  }

  /** Gives a command an option of the file. */
  apply(command: Command, option: TableOption, key: string, value: unknown): void {
    const name = option.attributeName()
    const before: unknown = command.getOptionValueSource(name) === 'cli' ? command.getOptionValue(name) : undefined
    const set = (parsed: unknown): void => void command.setOptionValueWithSource(name, parsed, 'config')
    if (option.isBoolean() || option.negate) {
      if (typeof value !== 'boolean') throw this.wrong(key, `expected true or false`)
      if (before === undefined) set(value)
      return
    }
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    let parsed: unknown
    for (const [i, one] of list.entries()) {
      const place = Array.isArray(value) ? `${key}[${i}]` : key
      const next = this.#parse(option, this.#text(option, place, one), place, parsed)
      if (i > 0 && !Array.isArray(next)) throw this.wrong(key, 'expected one value, not a list')
      parsed = next
    }
    if (Array.isArray(parsed) && Array.isArray(before)) set([...(parsed as unknown[]), ...(before as unknown[])])
    else if (before === undefined && list.length > 0) set(parsed)
  }

  #parse(option: TableOption, text: string, place: string, before: unknown): unknown {
    const choices = option.argChoices
    if (choices !== undefined && !choices.includes(text))
      throw this.wrong(place, `'${text}' is unknown; there are ${choices.join(', ')}${didYouMean(text, choices)}`)
    const { parseArg } = option
    return parseArg === undefined ? text : this.#placed(place, () => parseArg.call(option, text, before as never))
  }

  /** Puts the place in front of the message of a parser of options. */
  #placed<T>(place: string, parse: () => T): T {
    try {
      return parse()
    } catch (error) {
      if (error instanceof CliError) throw this.wrong(place, error.message)
      throw error
    }
  }

  /** Returns the value in the command line's form. */
  #text({ row }: TableOption, place: string, value: unknown): string {
    const { shape, isFile } = row
    if (shape !== undefined)
      return this.#shaped(shape, place, isScalar(value) ? this.#short(shape, place, textOf(value)) : value)
    if (!isScalar(value)) throw this.wrong(place, 'expected a text or a number')
    const text = textOf(value)
    return isFile === true ? this.#resolve(text) : text
  }

  /** Returns the object for its short text form: the value of one key, or pairs as on the command line. */
  #short(shape: Shape, place: string, text: string): Values {
    const { head, short, split } = shape
    if (split !== undefined) return this.#placed(place, () => split(text))
    const parts = splitPairs(text)
    const start = head === undefined ? [] : parts.splice(0, 1)
    const pairs = parts.map((part) => /^([\w-]+)=(.*)$/s.exec(part)?.slice(1) ?? [part])
    const known = shape.keys(start[0] ?? '') ?? []
    // A name of a file may have commas and signs of equality, too.
    if (pairs.length === 0 || !known.includes(pairs[0]![0]!)) return { [short]: text }
    const values: Record<string, string | string[]> = head === undefined ? {} : { [head]: start[0]! }
    for (const [key = '', value] of pairs) {
      const before = values[key]
      if (value === undefined) throw this.wrong(place, `'${key}' is not of the form key=value`)
      if (before !== undefined && shape.repeatable?.includes(key) !== true)
        throw this.wrong(place, `'${key}' is given twice; a comma within a value is written as ,,`)
      values[key] = before === undefined ? value : [before, value].flat()
    }
    return values
  }

  #shaped(shape: Shape, place: string, value: unknown): string {
    if (!isObject(value)) throw this.wrong(place, 'expected an object or a text')
    const { head } = shape
    const first = head === undefined ? '' : value[head]
    if (head !== undefined && (typeof first !== 'string' || first === ''))
      throw this.wrong(place, `expected a '${head}'${shape.heads ? `: one of ${shape.heads.join(', ')}` : ''}`)
    const known = shape.keys(String(first))
    if (known === undefined)
      throw this.wrong(
        `${place}.${head}`,
        `'${String(first)}' is unknown${didYouMean(String(first), shape.heads ?? [])}`,
      )
    const pairs: [key: string, value: string][] = []
    for (const [key, given] of Object.entries(value)) {
      if (key === head) continue
      if (!known.includes(key)) throw this.unknown(`${place}.${key}`, key, known)
      const list: readonly unknown[] =
        Array.isArray(given) && shape.repeatable?.includes(key) === true ? given : [given]
      for (const one of list) {
        if (!isScalar(one)) throw this.wrong(`${place}.${key}`, 'expected a text, a number, true or false')
        pairs.push([key, shape.paths.includes(key) ? this.#resolve(textOf(one)) : textOf(one)])
      }
    }
    if (shape.text !== undefined) return shape.text(Object.fromEntries(pairs))
    // A comma within a value is written twice, as on the command line.
    const start = head === undefined ? [] : [this.#module(head, String(first)).replaceAll(',', ',,')]
    return [...start, ...pairs.map(([key, text]) => `${key}=${text.replaceAll(',', ',,')}`)].join(',')
  }

  /** A module of the user's is a file. */
  #module(head: string, first: string): string {
    return head === 'name' && /[./\\]/.test(first) ? this.#resolve(first) : first
  }

  /** URLs and absolute names are unchanged. */
  #resolve(path: string): string {
    return path === '' || /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : resolve(dirname(this.#path), path)
  }
}

const textOf = (value: string | number | boolean): string =>
  typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)

const SCALAR: Schema = { type: ['string', 'number', 'boolean'] }
const TEXT: Schema = { type: 'string' }
/**
 * The JSON schema of machine files: {@link fileOptions} of a command, without the rules that only their parsers know.
 *
 * @see https://json-schema.org/draft-07/schema
 */
export function machineSchema(command: Command): Schema {
  const properties = Object.fromEntries([...fileOptions(command)].map(([name, option]) => [name, optionOf(option)]))
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'A machine of retrap',
    description: "The options of 'retrap run' by their names. Relative names of files start from this file's folder.",
    type: 'object',
    properties: {
      $schema: TEXT,
      [IMAGES_KEY]: { description: 'disk images, or discs with ISO 9660', type: 'array', items: TEXT },
      ...properties,
    },
    additionalProperties: false,
  }
}

function optionOf(option: TableOption): Schema {
  const { help: description, choices, shape, schema = SCALAR } = option.row
  if (option.isBoolean() || option.negate) return { description, type: 'boolean' }
  const isSwitch = choices?.includes('on') === true
  const one =
    shape !== undefined ? shapeOf(shape) : choices ? { enum: [...choices, ...(isSwitch ? [true, false] : [])] } : schema
  if (!option.isRepeatable) return { description, ...one }
  return { description, anyOf: [one, { type: 'array', items: one }] }
}

function shapeOf(shape: Shape): Schema {
  const { head } = shape
  if (head === undefined) return { anyOf: [TEXT, objectOf(shape, {}, shape.keys('') ?? [])] }
  const kinds = (shape.heads ?? []).map((name) => objectOf(shape, { [head]: { const: name } }, shape.keys(name) ?? []))
  // Modules are named by a file.
  const files = shape.keys('./module.ts')
  return {
    anyOf: [
      TEXT,
      ...kinds,
      ...(files ? [objectOf(shape, { [head]: { type: 'string', pattern: '[./\\\\]' } }, files)] : []),
    ],
  }
}

function objectOf(shape: Shape, head: Readonly<Record<string, Schema>>, keys: readonly string[]): Schema {
  const valueOf = (key: string): Schema =>
    shape.repeatable?.includes(key) === true ? { anyOf: [SCALAR, { type: 'array', items: SCALAR }] } : SCALAR
  return {
    type: 'object',
    properties: { ...head, ...Object.fromEntries(keys.map((key) => [key, valueOf(key)])) },
    required: Object.keys(head),
    additionalProperties: false,
  }
}
