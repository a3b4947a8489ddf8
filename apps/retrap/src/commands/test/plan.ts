import { defined } from '@retrap/basics'
import { dirname, resolve } from 'node:path'
import { Keyboard, type KeyName } from '@retrap/display'
import { CliError } from '../../errors.ts'
import { readInput } from '../../host/files/files.ts'
import { didYouMean } from '../../options/values.ts'
import { type PlannedMachine, readMachine } from './machine.ts'

/** One step: it types, presses keys, waits, and takes a picture, in this order. */
export interface PlannedStep {
  /** The line to type on the serial port, without its line end. */
  readonly type?: string
  /** Keys to press one after another, each with the keys held meanwhile. */
  readonly press?: readonly (readonly KeyName[])[]
  /** A text that is printed on the serial port. */
  readonly expect?: string
  /** A text on the screen. */
  readonly screen?: string
  /** The name of a file that gets a picture of the screen. */
  readonly screenshot?: string
}

export interface PlannedTest {
  /** Name in reports. */
  readonly name: string
  readonly steps: readonly PlannedStep[]
  /** Host time that each step may take, in milliseconds. */
  readonly timeoutMs: number
}

/** A file of tests. */
export interface TestPlan {
  readonly machine: PlannedMachine
  /** Steps from power-on, before `ready` is waited for. */
  readonly boot: readonly PlannedStep[]
  readonly ready?: string
  /** The prompt of the guest's shell; a test without a prompt has no commands. */
  readonly prompt?: string
  /** The end of a line that is typed. */
  readonly enter: string
  readonly bootTimeoutMs: number
  readonly tests: readonly PlannedTest[]
}

/** Parses a field. @throws CliError with its place */
type Field<Value> = (value: unknown, place: Place) => Value

/** The place of a value within the file. */
interface Place {
  /** The file's path, with which messages begin. */
  readonly file: string
  /** The value's name within the file, such as `tests[2].expect`. */
  readonly name: string
}

const [BOOT_SECONDS, TEST_SECONDS] = [300, 60]
const MOST_SECONDS = 2_000_000

/**
 * Reads a file of tests.
 *
 * @throws CliError `ERR_INPUT` with the name of an invalid field, or for an unreadable file
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
  const step: { readonly [Name in keyof PlannedStep]-?: Field<PlannedStep[Name]> } = {
    type: optional(line),
    press: optional(keys),
    expect: optional(nonEmpty),
    screen: optional(nonEmpty),
    screenshot: optional(pngName),
  }
  const test = fields<GivenTest>({
    name: nonEmpty,
    ...step,
    steps: optional(list(fields<PlannedStep>(step))),
    timeout: optional(seconds),
  })
  const plan = fields({
    about: optional(prose),
    machine,
    boot: optional(list(fields<PlannedStep>(step))),
    ready: optional(nonEmpty),
    prompt: optional(nonEmpty),
    enter: optional(lineEnd),
    bootTimeout: optional(seconds),
    timeout: optional(seconds),
    tests: list(test),
  })(given, { file: path, name: '' })
  const { boot = [], ready, prompt = ready, enter = '\n', bootTimeout = BOOT_SECONDS, timeout = TEST_SECONDS } = plan
  if (ready === undefined && boot.length === 0) throw mistake({ file: path, name: 'ready' }, 'not there', 'a text')
  if (plan.tests.length === 0) throw mistake({ file: path, name: 'tests' }, 'empty', 'one test or more')
  const tests = plan.tests.map((each, i) => testOf(each, timeout, { file: path, name: `tests[${i}]` }))
  const names = new Set<string>()
  for (const [i, { name }] of tests.entries()) {
    if (names.has(name)) throw mistake({ file: path, name: `tests[${i}].name` }, `'${name}' again`, 'another name')
    names.add(name)
  }
  return {
    machine: plan.machine,
    boot,
    ...defined({ ready, prompt }),
    enter,
    bootTimeoutMs: 1000 * bootTimeout,
    tests,
  }
}

/** A test in the file: one step, or several. */
interface GivenTest extends PlannedStep {
  readonly name: string
  readonly steps?: readonly PlannedStep[]
  readonly timeout?: number
}

/** Reads the steps of a test. @throws CliError for a test that checks nothing */
function testOf({ name, steps, timeout: own, ...step }: GivenTest, timeout: number, place: Place): PlannedTest {
  if (steps !== undefined && Object.keys(step).length > 0)
    throw mistake(place, `${Object.keys(step)[0]} beside steps`, 'either of them')
  const all = steps ?? [step]
  if (!all.some(({ expect, screen, screenshot }) => (expect ?? screen ?? screenshot) !== undefined))
    throw mistake(place, 'nothing that is looked at', 'expect, screen or screenshot')
  return { name, steps: all, timeoutMs: 1000 * (own ?? timeout) }
}

/** Parses an object with exactly these fields. */
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

/** A file name, not a path: pictures are stored with their test's other files. */
const pngName: Field<string> = (value, place) => {
  const text = string(value, place)
  if (/^[\w-][\w.-]*\.png$/.test(text)) return text
  throw mistake(place, show(text), 'the name of a PNG file, such as menu.png')
}

const lineEnd: Field<string> = (value, place) => {
  const text = string(value, place)
  if (['\n', '\r', '\r\n'].includes(text)) return text
  throw mistake(place, show(text), '"\\n", "\\r" or "\\r\\n"')
}

/** A comment for readers of the file: a text, or its lines. */
const prose: Field<unknown> = (value, place) =>
  Array.isArray(value) ? list(string)(value, place) : string(value, place)

/** Reads keys: `F2`, `ControlLeft+AltLeft+Delete`, or a list of such texts. */
const keys: Field<readonly (readonly KeyName[])[]> = (value, place) => {
  const strokes = Array.isArray(value) ? list(nonEmpty)(value, place) : [nonEmpty(value, place)]
  return strokes.map((stroke) => {
    const names = stroke.split('+') as KeyName[]
    try {
      // A keyboard without a machine checks the names of keys.
      void new Keyboard().press(...names)
    } catch (error) {
      throw new CliError('ERR_INPUT', `${place.file}: ${place.name}: ${(error as Error).message}`)
    }
    return names
  })
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
