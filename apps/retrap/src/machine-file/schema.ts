import { MIB } from '@retrap/basics'
import type { Command, Option } from 'commander'
import { fileOptions, IMAGES_KEY } from './machine-file.ts'
import { SHAPES, type Shape } from './shapes.ts'
import { MAX_CPUS, MAX_MEMORY_BYTES, MIN_MEMORY_BYTES } from '../options/values.ts'

/** A JSON schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>

const SCALAR: Schema = { type: ['string', 'number', 'boolean'] }
const TEXT: Schema = { type: 'string' }
const SECONDS: Schema = {
  anyOf: [
    { type: 'number', exclusiveMinimum: 0 },
    { type: 'string', pattern: '^ *(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)? *$' },
  ],
}

/** Options that are numbers or sizes, as their parsers read them. */
const NUMBERS: Readonly<Record<string, Schema>> = {
  cpus: {
    anyOf: [
      { type: 'integer', minimum: 1, maximum: MAX_CPUS },
      { type: 'string', pattern: '^ *(0[xX][0-9a-fA-F]+|\\d+) *$' },
    ],
  },
  memory: {
    anyOf: [
      { type: 'number', minimum: MIN_MEMORY_BYTES / MIB, maximum: MAX_MEMORY_BYTES / MIB },
      { type: 'string', pattern: '^ *\\d+(\\.\\d+)?([bB]?|[kmgtKMGT]([iI]?[bB])?) *$' },
    ],
  },
  timeout: SECONDS,
  'device-deadline': SECONDS,
}

/**
 * The JSON schema of machine files: what {@link fileOptions} of a command are, without what only their parsers know.
 *
 * @see https://json-schema.org/draft-07/schema
 */
export function machineSchema(command: Command): Schema {
  const properties = Object.fromEntries(
    [...fileOptions(command)].map(([name, option]) => [name, optionOf(name, option)]),
  )
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

function optionOf(name: string, option: Option): Schema {
  const { description, argChoices: choices } = option
  if (option.isBoolean() || option.negate) return { description, type: 'boolean' }
  const shape = Object.hasOwn(SHAPES, name) ? SHAPES[name] : undefined
  const isSwitch = choices?.includes('on') === true
  const one: Schema =
    shape !== undefined
      ? shapeOf(shape)
      : choices
        ? { enum: [...choices, ...(isSwitch ? [true, false] : [])] }
        : (NUMBERS[name] ?? SCALAR)
  if (!description.includes('(repeatable')) return { description, ...one }
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
