import { dirname, resolve } from 'node:path'
import { CliError } from '../errors.ts'
import { readInput } from '../files/files.ts'
import { didYouMean } from '../options/values.ts'
import { type PlannedMachine, readMachine } from './machine.ts'

/** One test of a plan. */
export interface PlannedTest {
  /** Name in reports. */
  readonly name: string
  /** The command that is typed, without its line's end. */
  readonly type: string
  /** A text that the command prints. */
  readonly expect: string
  /** Host time that it may take, in milliseconds. */
  readonly timeoutMs: number
}

/** A file of tests. */
export interface TestPlan {
  readonly machine: PlannedMachine
  readonly ready: string
  readonly prompt: string
  readonly bootTimeoutMs: number
  readonly tests: readonly PlannedTest[]
}

/** How a field is read. @throws CliError with its place */
type Field<Value> = (value: unknown, place: Place) => Value

/** Where in the file a value is. */
interface Place {
  /** The file's path, with which messages begin. */
  readonly file: string
  /** The value's name in it, such as `tests[2].expect`. */
  readonly name: string
}

const [BOOT_SECONDS, TEST_SECONDS] = [300, 60]
const MOST_SECONDS = 2_000_000

/**
 * Reads a file of tests.
 *
 * @throws CliError `ERR_INPUT` where it cannot be read or is not valid, with the name of the field
 */
export async function readPlan(path: string): Promise<TestPlan> {
  const text = new TextDecoder().decode(await readInput(path, path))
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: not valid JSON: ${(error as Error).message}`)
  }
  const file: Field<string> = (value, place) => resolve(dirname(path), nonEmpty(value, place))
  const machine: Field<PlannedMachine> = (value, place) => {
    if (!isObject(value)) throw mistake(place, show(value), 'an object')
    const { disks, ...described } = value
    const named = optional(list(file))(disks, { ...place, name: `${place.name}.disks` })
    return readMachine(place.file, place.name, described, named)
  }
  const test = fields<Omit<PlannedTest, 'timeoutMs'> & { readonly timeout?: number }>({
    name: nonEmpty,
    type: line,
    expect: nonEmpty,
    timeout: optional(seconds),
  })
  const plan = fields({
    machine,
    ready: nonEmpty,
    prompt: optional(nonEmpty),
    bootTimeout: optional(seconds),
    timeout: optional(seconds),
    tests: list(test),
  })(given, { file: path, name: '' })
  const { ready, prompt = ready, bootTimeout = BOOT_SECONDS, timeout = TEST_SECONDS, tests } = plan
  if (tests.length === 0) throw mistake({ file: path, name: 'tests' }, 'empty', 'one test or more')
  const names = new Set<string>()
  for (const [i, { name }] of tests.entries()) {
    if (names.has(name)) throw mistake({ file: path, name: `tests[${i}].name` }, `'${name}' again`, 'another name')
    names.add(name)
  }
  return {
    machine: plan.machine,
    ready,
    prompt,
    bootTimeoutMs: 1000 * bootTimeout,
    tests: tests.map(({ timeout: own = timeout, ...each }) => ({ ...each, timeoutMs: 1000 * own })),
  }
}

/** Reads an object with these fields and no others. */
function fields<Shape extends object>(shape: { readonly [Name in keyof Shape]-?: Field<Shape[Name]> }): Field<Shape> {
  const names = Object.keys(shape)
  return (value, { file, name }) => {
    const at = (field: string): Place => ({ file, name: name === '' ? field : `${name}.${field}` })
    if (!isObject(value)) throw mistake({ file, name }, show(value), 'an object')
    const unknown = Object.keys(value).find((field) => !names.includes(field))
    if (unknown !== undefined)
      throw new CliError(
        'ERR_INPUT',
        `${file}: there is no ${at(unknown).name}${didYouMean(unknown, names)}; expected ${names.join(', ')}`,
      )
    const read = Object.entries<Field<unknown>>(shape).map(([field, of]) => [field, of(value[field], at(field))])
    return Object.fromEntries(read.filter(([, found]) => found !== undefined)) as Shape
  }
}

/** Reads a field that may be left out. */
const optional =
  <Value>(of: Field<Value>): Field<Value | undefined> =>
  (value, place) =>
    value === undefined ? undefined : of(value, place)

const list =
  <Value>(of: Field<Value>): Field<readonly Value[]> =>
  (value, { file, name }) => {
    if (!Array.isArray(value)) throw mistake({ file, name }, show(value), 'a list')
    return value.map((each, i) => of(each, { file, name: `${name}[${i}]` }))
  }

const string: Field<string> = (value, place) => {
  if (typeof value === 'string') return value
  throw mistake(place, show(value), 'a text')
}

const nonEmpty: Field<string> = (value, place) => {
  const text = string(value, place)
  if (text !== '') return text
  throw mistake(place, 'empty', 'one character or more')
}

const line: Field<string> = (value, place) => {
  const text = string(value, place)
  if (!/[\r\n]/.test(text)) return text
  throw mistake(place, 'more than one line', 'one line, without its end')
}

const seconds: Field<number> = (value, place) => {
  if (typeof value === 'number' && value > 0 && value <= MOST_SECONDS) return value
  throw mistake(place, show(value), `seconds, above 0 and up to ${MOST_SECONDS}`)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const show = (value: unknown): string => (value === undefined ? 'not there' : JSON.stringify(value).slice(0, 60))

const mistake = ({ file, name }: Place, found: string, expected: string): CliError =>
  new CliError('ERR_INPUT', `${file}: ${name === '' ? '' : `${name}: `}${found}; expected ${expected}`)
