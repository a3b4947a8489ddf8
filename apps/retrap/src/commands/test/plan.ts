import { defined } from '@retrap/basics'
import { dirname, resolve } from 'node:path'
import { Keyboard, type KeyName } from '@retrap/display'
import { z } from 'zod'
import { CliError } from '@retrap/linux-guest/errors'
import { readInput } from '@retrap/linux-guest/host/files'
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
  const { data, error } = PLAN.safeParse(given, { reportInput: true })
  const issue = error?.issues.find(({ code }) => code === 'unrecognized_keys') ?? error?.issues[0]
  if (issue !== undefined) throw mistakeOf(path, issue)
  const plan = data!
  const { disks, ...described } = plan.machine
  const machine = readMachine(
    path,
    'machine',
    described,
    disks?.map((disk) => resolve(dirname(path), disk)),
  )
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
    machine,
    boot,
    ...defined({ ready, prompt }),
    enter,
    bootTimeoutMs: 1000 * bootTimeout,
    tests,
  }
}

/** A test in the file: one step, or several. */
type GivenTest = z.output<typeof PLAN>['tests'][number]

/** Reads the steps of a test. @throws CliError for a test that checks nothing */
function testOf({ name, steps, timeout: own, ...step }: GivenTest, timeout: number, place: Place): PlannedTest {
  if (steps !== undefined && Object.keys(step).length > 0)
    throw mistake(place, `${Object.keys(step)[0]} beside steps`, 'either of them')
  const all = steps ?? [step]
  if (!all.some(({ expect, screen, screenshot }) => (expect ?? screen ?? screenshot) !== undefined))
    throw mistake(place, 'nothing that is looked at', 'expect, screen or screenshot')
  return { name, steps: all, timeoutMs: 1000 * (own ?? timeout) }
}

/** An object with exactly these fields. */
const fields = <Shape extends z.ZodRawShape>(shape: Shape) => {
  const names = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `${didYouMean(String(issue.keys[0]), names)}; expected ${names.join(', ')}`
        : 'an object',
  })
}

// Messages name the expected value, or also the found one.
const string = z.string('a text')
const nonEmpty = string.min(1, 'empty; expected one character or more')
const listOf = <Item extends z.ZodType>(item: Item) => z.array(item, 'a list')
const textOrList = <Text extends z.ZodType>(text: Text) => z.union([text, z.array(text)], 'a text, or a list of texts')
const SECONDS = `seconds, above 0 and up to ${MOST_SECONDS}`
const seconds = z.number(SECONDS).positive(SECONDS).max(MOST_SECONDS, SECONDS)

/** Keys: `F2`, `ControlLeft+AltLeft+Delete`, or a list of such texts. */
const keys = textOrList(nonEmpty).transform((strokes, context) =>
  [strokes].flat().map((stroke) => {
    const names = stroke.split('+') as KeyName[]
    try {
      // A keyboard without a machine checks the names of keys.
      void new Keyboard().press(...names)
    } catch (error) {
      context.addIssue((error as Error).message)
    }
    return names
  }),
)

const STEP = {
  type: string.regex(/^[^\r\n]*$/, 'more than one line; expected one line, without its end').exactOptional(),
  press: keys.exactOptional(),
  expect: nonEmpty.exactOptional(),
  screen: nonEmpty.exactOptional(),
  // A file name, not a path: pictures are stored with their test's other files.
  screenshot: string.regex(/^[\w-][\w.-]*\.png$/, 'the name of a PNG file, such as menu.png').exactOptional(),
}
const steps = listOf(fields(STEP)).exactOptional()
const PLAN = fields({
  // A comment for readers of the file.
  about: textOrList(string).exactOptional(),
  machine: z.looseObject({ disks: listOf(nonEmpty).optional() }, 'an object'),
  boot: steps,
  ready: nonEmpty.exactOptional(),
  prompt: nonEmpty.exactOptional(),
  enter: z.enum(['\n', '\r', '\r\n'], '"\\n", "\\r" or "\\r\\n"').exactOptional(),
  bootTimeout: seconds.exactOptional(),
  timeout: seconds.exactOptional(),
  tests: listOf(fields({ name: nonEmpty, ...STEP, steps, timeout: seconds.exactOptional() })),
})

/** Tells people an issue of a file. */
function mistakeOf(file: string, issue: z.core.$ZodIssue): CliError {
  const nameOf = (path: readonly PropertyKey[]): string =>
    path
      .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
      .join('')
      .replace(/^\./, '')
  const { code, message, path } = issue
  const place = { file, name: nameOf(path) }
  if (code === 'unrecognized_keys')
    return new CliError('ERR_INPUT', `${file}: there is no ${nameOf([...path, issue.keys[0]!])}${message}`)
  if (code === 'custom') return new CliError('ERR_INPUT', `${file}: ${place.name}: ${message}`)
  const [found, expected] = message.split('; expected ')
  return expected === undefined ? mistake(place, show(issue.input), message) : mistake(place, found!, expected)
}

const show = (value: unknown): string => (value === undefined ? 'not there' : JSON.stringify(value).slice(0, 60))

const mistake = ({ file, name }: Place, found: string, expected: string): CliError =>
  new CliError('ERR_INPUT', `${file}: ${name === '' ? '' : `${name}: `}${found}; expected ${expected}`)
