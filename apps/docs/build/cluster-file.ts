// The reference of cluster.json, made of its schema and of the table of faults: neither page nor test can forget a field.
import { clusterSchema, FAULT_KINDS } from '@retrap/cluster'

/** The parts of a JSON Schema that the reference shows. */
interface Schema {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema | false
  readonly additionalProperties?: Schema | false
  readonly anyOf?: readonly Schema[]
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const code = (text: string): string => `<code>${escaped(text)}</code>`
/** Text whose back quotes mark code. */
const prose = (text: string): string => escaped(text).replaceAll(/`([^`]*)`/g, '<code>$1</code>')

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`
  return `<table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table>`
}

/** A field of the file: its path, its schema, and whether it has to be there. */
type Field = readonly [path: string, schema: Schema, isNeeded: boolean]

/** All fields below a part of the file, in the order of the schema. A rate has the same fields for each kind of fault. */
function fieldsOf(schema: Schema, path: string): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]): Field[] => {
    if (path === 'faults' && name in FAULT_KINDS) return []
    const own = path === '' ? name : `${path}.${name}`
    const inner = innerOf(field, own)
    const named = field.additionalProperties ? innerOf(field.additionalProperties, `${own}.NAME`) : []
    const either = (field.anyOf ?? []).flatMap((one) => fieldsOf(one, own))
    return [[own, field, schema.required?.includes(name) === true], ...inner, ...named, ...either]
  })
}

/** The fields of a value, or of each value of a list. */
const innerOf = (schema: Schema, path: string): Field[] =>
  schema.items ? fieldsOf(schema.items, `${path}[]`) : fieldsOf(schema, path)

const rowOf = ([path, { description = '', default: usual, enum: some }, isNeeded]: Field): string[] => [
  code(path),
  prose(`${description}${some === undefined ? '' : ` ${some.map((one) => `\`${one}\``).join(', ')}.`}`),
  isNeeded ? 'needed' : usual === undefined || JSON.stringify(usual) === '{}' ? '' : code(JSON.stringify(usual)),
]

/** The fields of cluster.json, as HTML. */
export function tellFields(): string {
  const schema = clusterSchema() as Schema
  const [rate] = Object.keys(FAULT_KINDS)
  const ofRate = fieldsOf(schema.properties!['faults']!.properties![rate!]!, 'faults.KIND')
  const rows = [...fieldsOf(schema, ''), ...ofRate].map(rowOf)
  return table(['field', 'meaning', 'default'], rows)
}

/** The kinds of faults, as HTML. */
export const tellFaults = (): string =>
  table(
    ['kind', 'what it does', 'of', '<code>amount</code>'],
    Object.entries(FAULT_KINDS).map(([kind, { about, place, takesAmount }]) => [
      code(kind),
      prose(about),
      { links: 'links between machines', machine: 'a machine', disk: "a machine's disk" }[place],
      takesAmount === undefined ? '' : { part: 'a part, 0 to 1', time: 'a time' }[takesAmount],
    ]),
  )
