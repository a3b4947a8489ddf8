import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { plainLine } from '@retrap/basics'
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import type { Job } from './job.ts'
import {
  FORMS,
  isRepeatable,
  type KnownOptions,
  MOST_JOBS,
  type Plan,
  planSchema,
  type Scalar,
  SETTINGS,
  type Values,
  timeoutIn,
} from './plan-schema.ts'

/** A place in a plan file, from 1. */
interface Place {
  readonly line: number
  readonly column: number
}

/** Mistakes of a plan file. The message has a line for each: `plan.yaml:3:5: …`. */
export class PlanError extends Error {
  override readonly name = 'PlanError'

  /** @param mistakes - a text is one of the whole file */
  constructor(file: string, mistakes: string | readonly (Place & { readonly text: string })[]) {
    const all = typeof mistakes === 'string' ? [{ line: 1, column: 1, text: mistakes }] : mistakes
    const told = all.map(({ line, column, text }) => plainLine(`${file}:${line}:${column}: ${text}`))
    super([...new Set(told)].join('\n'))
  }
}

/** A value of an option: one argument, or several of an option that may be repeated. */
type OptionValue = Scalar | readonly Scalar[]

/** A machine of a plan: option values with a list each, of which every combination is a job. */
interface Machine {
  readonly name: string
  readonly system: Job['system']
  readonly axes: readonly (readonly [option: string, values: readonly OptionValue[]])[]
  readonly settings: Settings
}

interface Settings {
  readonly repeat: number
  readonly timeout: number
  readonly retries: number
  readonly expect: readonly string[]
  readonly fail?: readonly string[]
}

const DEFAULTS: Settings = { repeat: 1, timeout: 60, retries: 0, expect: [] }

/**
 * Reads a plan and returns its jobs, in the order of the file. A machine's list of values is an axis of its matrix.
 *
 * @param path - path of the file; names in the file are relative to its folder
 * @throws PlanError with line and column of each mistake
 */
export function readPlan(path: string, text: string, known: KnownOptions): Job[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const stopAt = (mistakes: readonly Mistake[]): void => {
    if (mistakes.length === 0) return
    const placed = mistakes.map(([offset, mistake]) => {
      const { line, col } = lines.linePos(offset)
      return { line: Math.max(1, line), column: Math.max(1, col), text: mistake }
    })
    throw new PlanError(path, placed)
  }
  stopAt([...document.errors, ...document.warnings].map(({ pos, message }) => [pos[0], message]))
  const badKeys: Mistake[] = []
  visit(document, {
    Pair(_, { key }) {
      if (!isScalar(key) || typeof key.value !== 'string') badKeys.push([offsetOf(key), 'a key is a word'])
    },
  })
  stopAt(badKeys)
  // The original document, because the schema moves known keys to the front.
  const plan = document.toJS() as Plan
  const { error } = planSchema(known).safeParse(plan)
  stopAt((error?.issues ?? []).flatMap((issue) => mistakesOf(issue, document)).toSorted(([a], [b]) => a - b))

  const defaults = settingsOf(plan, DEFAULTS)
  const machines = plan.machines.map((machine, i): Machine => {
    const { name = `machine-${i + 1}`, system = 'run' } = machine
    const options = Object.entries(machine).filter(([key]) => !Object.hasOwn(FORMS, key))
    const axes = options.map(([key, value]) => [key, valuesOf(value as Values, isRepeatable(key, known))] as const)
    return { name: String(name), system, axes, settings: settingsOf(machine, defaults) }
  })
  const count = machines.reduce((sum, machine) => sum + countOf(machine), 0)
  if (machines.length === 0) stopAt([[0, 'there is no machine']])
  if (count > MOST_JOBS) stopAt([[0, `the plan has ${count} jobs; the limit is ${MOST_JOBS}`]])
  const folder = dirname(resolve(path))
  const jobs: Job[] = []
  for (const machine of machines) for (const job of jobsOf(machine, folder)) jobs.push(numbered(job, jobs.length))
  return jobs
}

type Mistake = readonly [offset: number, text: string]

/** Tells people an issue. A key that the file lacks has the place of the map it would be in. */
function mistakesOf(issue: z.core.$ZodIssue, document: Document): Mistake[] {
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // For a value with several possible forms, report the mistakes of the form that matches furthest.
    const forms = issue.errors.map((each) => each.map((one) => ({ ...one, path: [...issue.path, ...one.path] })))
    const depthOf = (form: (typeof forms)[number]): number => Math.max(...form.map(({ path }) => path.length))
    const [form = []] = forms.toSorted((a, b) => depthOf(b) - depthOf(a) || a.length - b.length)
    return form.flatMap((one) => mistakesOf(one, document))
  }
  const nodes = issue.path.map((_, i) => document.getIn(issue.path.slice(0, i + 1), true))
  const node = [document.contents, ...nodes].findLast((one) => isNode(one))
  if (issue.code !== 'unrecognized_keys') return [[offsetOf(node), textOf(issue, nodes.at(-1) !== undefined)]]
  const keys = isMap(node) ? node.items.map(({ key }) => key) : []
  return issue.keys.map((name) => [
    offsetOf(keys.find((key) => isScalar(key) && key.value === name)),
    issue.path.length === 0
      ? `"${name}" is no key of a plan: use ${['machines', ...Object.keys(SETTINGS)].join(', ')}`
      : `"${name}" is no option of "retrap run", and no key of a job`,
  ])
}

const offsetOf = (node: unknown): number => (isNode(node) ? (node.range?.[0] ?? 0) : 0)

function textOf({ code, path }: z.core.$ZodIssue, isThere: boolean): string {
  const key = String(path.findLast((part) => typeof part === 'string'))
  if (path.length === 0) return 'a plan is a map with the key "machines"'
  if (key === 'machines' && !isThere) return 'a plan needs the key "machines"'
  if (path.length === 1 && key === 'machines') return '"machines" is a list, such as [{ kernel: vmlinuz }]'
  if (key === 'machines') return 'a machine is a map of options, such as { kernel: vmlinuz }'
  if (Object.hasOwn(FORMS, key)) return `"${key}" is ${FORMS[key as keyof typeof FORMS]}`
  if (code === 'too_small') return `"${key}" has no value`
  return `a value of "${key}" is a text, a number, true or false, as on the command line`
}

function settingsOf(given: Pick<Plan, keyof typeof SETTINGS>, defaults: Settings): Settings {
  const { repeat = defaults.repeat, retries = defaults.retries } = given
  const timeout = timeoutIn(`${given.timeout}`) ?? defaults.timeout
  const { expect = defaults.expect, fail = defaults.fail } = given
  const textsOf = (texts: typeof expect): string[] => [texts].flat().map(String)
  return { repeat, timeout, retries, expect: textsOf(expect), ...(fail !== undefined && { fail: textsOf(fail) }) }
}

/** Returns the values of an axis. A list is an axis, but for a repeatable option a list is one value. */
function valuesOf(value: Values, repeatable: boolean): readonly OptionValue[] {
  if (!Array.isArray(value)) return [value as Scalar]
  return repeatable && !value.every((one) => Array.isArray(one)) ? [value as Scalar[]] : value
}

const countOf = ({ axes, settings }: Machine): number =>
  axes.reduce((product, [, values]) => product * values.length, settings.repeat)

/** Yields the jobs of a machine: each combination of its values, `repeat` times. */
function* jobsOf({ name, system, axes, settings }: Machine, folder: string): Generator<Omit<Job, 'id'>> {
  const varied = new Set(axes.filter(([, values]) => values.length > 1).map(([option]) => option))
  for (const choice of combinations(axes)) {
    // Options of a snapshot or a recording come behind its name.
    const ordered = [...choice].sort(([a], [b]) => Number(b === 'images') - Number(a === 'images'))
    const args = ordered.flatMap(([option, value]) => argumentsOf(option, value))
    const title = [
      name,
      ...choice.filter(([option]) => varied.has(option)).map(([option, value]) => `${option}=${value}`),
    ]
    for (let i = 1; i <= settings.repeat; i++) {
      yield {
        name: [...title, ...(settings.repeat > 1 ? [`#${i}`] : [])].join(' '),
        ...{ system, folder, args, expect: settings.expect, retries: settings.retries },
        ...(settings.fail !== undefined && { fail: settings.fail }),
        timeoutSeconds: settings.timeout,
      }
    }
  }
}

type Choice = readonly (readonly [option: string, value: OptionValue])[]

function* combinations(axes: Machine['axes']): Generator<Choice> {
  const [first, ...rest] = axes
  if (first === undefined) {
    yield []
    return
  }
  const [option, values] = first
  for (const value of values) for (const others of combinations(rest)) yield [[option, value], ...others]
}

/** The arguments of an option; `images` are the names of disks, without an option. */
function argumentsOf(option: string, value: OptionValue): string[] {
  if (Array.isArray(value)) return value.flatMap((one: Scalar) => argumentsOf(option, one))
  if (option === 'images') return [String(value)]
  if (typeof value === 'boolean') return [value ? `--${option}` : `--no-${option}`]
  return [`--${option}=${String(value)}`]
}

/** Gives a job its identity. @param index - its position in the plan, from 0 */
export function numbered(job: Omit<Job, 'id'>, index: number): Job {
  const digest = createHash('sha256').update(JSON.stringify(job)).digest('hex').slice(0, 12)
  return { id: `${String(index + 1).padStart(5, '0')}-${digest}`, ...job }
}
