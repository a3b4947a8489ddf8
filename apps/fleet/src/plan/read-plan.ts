import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml'
import type { Job } from './job.ts'

/** The most jobs of one plan: a matrix grows quickly. */
const MOST_JOBS = 100_000
const LONGEST_TIMEOUT_SECONDS = 7 * 24 * 3600
const DEFAULT_TIMEOUT_SECONDS = 60

/** Keys of a machine that are no options of a command. A plan may have these at its top, too, for all machines. */
const JOB_KEYS = ['repeat', 'timeout', 'retries', 'expect', 'fail'] as const

export const SYSTEMS = ['run', 'linux', 'restore', 'replay'] as const

/** A place in a plan file, from 1. */
interface Place {
  readonly line: number
  readonly column: number
}

/** Mistakes of a plan file. The message has a line for each: `plan.yaml:3:5: …`. */
export class PlanError extends Error {
  override readonly name = 'PlanError'

  constructor(file: string, mistakes: readonly (Place & { readonly text: string })[]) {
    super(mistakes.map(({ line, column, text }) => `${file}:${line}:${column}: ${text}`).join('\n'))
  }
}

type Scalar = string | number | boolean
/** A value of an option: one argument, or several of an option that may be repeated. */
type OptionValue = Scalar | readonly Scalar[]

/** Options of `retrap run`: the names, and the ones that may be given several times. */
export interface KnownOptions {
  readonly names: ReadonlySet<string>
  readonly repeatable: ReadonlySet<string>
}

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

const DEFAULTS: Settings = { repeat: 1, timeout: DEFAULT_TIMEOUT_SECONDS, retries: 0, expect: [] }

/**
 * Reads a plan and returns its jobs, in the order of the file. A machine's list of values is an axis of its matrix.
 *
 * @param path - of the file; names in it begin at its folder
 * @throws PlanError with line and column of each mistake
 */
export function readPlan(path: string, text: string, known: KnownOptions): Job[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes: (Place & { text: string })[] = []
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const wrong = (offset: number, message: string): void => void mistakes.push({ ...placeOf(offset), text: message })

  for (const { pos, message } of [...document.errors, ...document.warnings]) wrong(pos[0], message)
  const reader = new PlanReader(known, (node, message) => wrong(node?.range?.[0] ?? 0, message))
  const machines = mistakes.length === 0 ? reader.plan(document.contents) : []
  if (mistakes.length === 0 && machines.length === 0) wrong(0, 'there is no machine')
  if (mistakes.length > 0) throw new PlanError(path, mistakes)

  const count = machines.reduce((sum, machine) => sum + countOf(machine), 0)
  if (count > MOST_JOBS)
    throw new PlanError(path, [{ line: 1, column: 1, text: `the plan has ${count} jobs; the limit is ${MOST_JOBS}` }])
  const folder = dirname(resolve(path))
  const jobs: Job[] = []
  for (const machine of machines) for (const job of jobsOf(machine, folder)) jobs.push(numbered(job, jobs.length))
  return jobs
}

/** Reads the nodes of a plan; each mistake is reported with its node, and the reading goes on. */
class PlanReader {
  readonly #known: KnownOptions
  readonly #wrong: (node: Node | null | undefined, message: string) => void

  constructor(known: KnownOptions, wrong: (node: Node | null | undefined, message: string) => void) {
    this.#known = known
    this.#wrong = wrong
  }

  plan(root: Node | null): Machine[] {
    if (!isMap(root)) {
      this.#wrong(root, 'a plan is a map with the key "machines"')
      return []
    }
    const settings = this.#settings(root, DEFAULTS)
    let machines: Machine[] | undefined
    for (const { key, value } of pairsOf(root)) {
      const name = this.#key(key)
      if (name === 'machines') machines = this.#machines(value, settings)
      else if (name !== undefined && !isJobKey(name))
        this.#wrong(key, `"${name}" is no key of a plan: use ${['machines', ...JOB_KEYS].join(', ')}`)
    }
    if (machines === undefined) this.#wrong(root, 'a plan needs the key "machines"')
    return machines ?? []
  }

  #machines(node: Node | null, settings: Settings): Machine[] {
    if (!isSeq(node)) {
      this.#wrong(node, '"machines" is a list, such as [{ kernel: vmlinuz }]')
      return []
    }
    return node.items.flatMap((item, i) => {
      if (isMap(item)) return [this.#machine(item, i, settings)]
      this.#wrong(item as Node | null, 'a machine is a map of options, such as { kernel: vmlinuz }')
      return []
    })
  }

  #machine(node: YAMLMap, i: number, defaults: Settings): Machine {
    const settings = this.#settings(node, defaults)
    const axes: [string, readonly OptionValue[]][] = []
    let name = `machine-${i + 1}`
    let system: Machine['system'] = 'run'
    const pairs = pairsOf(node)
    for (const { key, value } of pairs) {
      if (this.#plain(key) === 'system') system = this.#system(value)
    }
    for (const { key, value } of pairs) {
      const option = this.#key(key)
      if (option === undefined || option === 'system' || isJobKey(option)) continue
      if (option === 'name') name = this.#text(value, option) ?? name
      else if (system === 'run' && option !== 'images' && !this.#known.names.has(option))
        this.#wrong(key, `"${option}" is no option of "retrap run", and no key of a job`)
      else axes.push([option, this.#values(option, value)])
    }
    return { name, system, axes, settings }
  }

  #settings(node: YAMLMap, defaults: Settings): Settings {
    let settings = defaults
    for (const { key, value } of pairsOf(node)) {
      const name = this.#plain(key)
      switch (name) {
        case 'repeat':
          settings = { ...settings, repeat: this.#whole(value, 'repeat', 1, MOST_JOBS) }
          break
        case 'retries':
          settings = { ...settings, retries: this.#whole(value, 'retries', 0, 100) }
          break
        case 'timeout':
          settings = { ...settings, timeout: this.#seconds(value) }
          break
        case 'expect':
        case 'fail':
          settings = { ...settings, [name]: this.#texts(value, name) }
          break
        default:
      }
    }
    return settings
  }

  /** The values of an axis. A list is one, but for an option that may be repeated: there a list of lists is. */
  #values(option: string, node: Node | null): readonly OptionValue[] {
    if (!isSeq(node)) return [this.#scalar(option, node)]
    if (node.items.length === 0) this.#wrong(node, `"${option}" has no value`)
    const items = node.items as (Node | null)[]
    const isRepeatable = option === 'images' || this.#known.repeatable.has(option)
    if (!isRepeatable) return items.map((item) => this.#scalar(option, item))
    if (!items.every((item) => isSeq(item))) return [items.map((item) => this.#scalar(option, item))]
    return items.map((item) => (isSeq(item) ? item.items : []).map((one) => this.#scalar(option, one as Node | null)))
  }

  #scalar(option: string, node: Node | null): Scalar {
    const value = isScalar(node) ? node.value : undefined
    if (typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)) return value as Scalar
    this.#wrong(node, `a value of "${option}" is a text, a number, true or false, as on the command line`)
    return ''
  }

  #system(node: Node | null): Machine['system'] {
    const value = isScalar(node) ? node.value : undefined
    const system = SYSTEMS.find((one) => one === value)
    if (system !== undefined) return system
    this.#wrong(node, '"system" is "run" (default), "linux" for Debian\'s kernel and shell, "restore" or "replay"')
    return 'run'
  }

  #whole(node: Node | null, name: string, least: number, most: number): number {
    const value = isScalar(node) ? node.value : undefined
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
    this.#wrong(node, `"${name}" is a whole number from ${least} to ${most}`)
    return least
  }

  #seconds(node: Node | null): number {
    const value = isScalar(node) ? node.value : undefined
    if (typeof value === 'number' && value > 0 && value <= LONGEST_TIMEOUT_SECONDS) return value
    this.#wrong(node, `"timeout" is a number of seconds, above 0 and at most ${LONGEST_TIMEOUT_SECONDS}`)
    return DEFAULT_TIMEOUT_SECONDS
  }

  #texts(node: Node | null, name: string): readonly string[] {
    const items = isSeq(node) ? (node.items as (Node | null)[]) : [node]
    return items.flatMap((item) => this.#text(item, name) ?? [])
  }

  #text(node: Node | null, name: string): string | undefined {
    const value = isScalar(node) ? node.value : undefined
    if ((typeof value === 'string' && value !== '') || typeof value === 'number') return String(value)
    this.#wrong(node, `"${name}" is a text`)
    return undefined
  }

  #key(node: Node | null): string | undefined {
    const name = this.#plain(node)
    if (name === undefined) this.#wrong(node, 'a key is a word')
    return name
  }

  #plain(node: Node | null): string | undefined {
    return isScalar(node) && typeof node.value === 'string' ? node.value : undefined
  }
}

const isJobKey = (name: string): boolean => (JOB_KEYS as readonly string[]).includes(name)

function pairsOf(map: YAMLMap): { readonly key: Node | null; readonly value: Node | null }[] {
  return (map.items as Pair<Node | null, Node | null>[]).map(({ key, value }) => ({ key, value }))
}

const countOf = ({ axes, settings }: Machine): number =>
  axes.reduce((product, [, values]) => product * values.length, settings.repeat)

/** The jobs of a machine: each combination of its values, `repeat` times. */
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

function numbered(job: Omit<Job, 'id'>, index: number): Job {
  const digest = createHash('sha256').update(JSON.stringify(job)).digest('hex').slice(0, 12)
  return { id: `${String(index + 1).padStart(5, '0')}-${digest}`, ...job }
}
