import type { Command } from 'commander'
import { fileOptions, IMAGES_KEY } from './machine-file.ts'
import type { Schema, Shape, TableOption } from '../../options/option-table.ts'

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
