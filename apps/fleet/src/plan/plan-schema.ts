import { secondsIn } from '@retrap/basics'
import { z } from 'zod'

/** The most jobs of one plan: a matrix grows quickly. */
export const MOST_JOBS = 100_000
const LONGEST_TIMEOUT_SECONDS = 7 * 24 * 3600

export const SYSTEMS = ['run', 'linux', 'restore', 'replay', 'cluster'] as const

/** The forms of keys that are no options of a command, for people. */
export const FORMS = {
  name: 'a text',
  system: '"run" (default), "linux" for Debian\'s kernel and shell, "restore", "replay", or "cluster" to explore one',
  repeat: `a whole number from 1 to ${MOST_JOBS}`,
  timeout: `seconds, or a time such as 500ms or 10m, above 0 and at most ${LONGEST_TIMEOUT_SECONDS} s`,
  retries: 'a whole number from 0 to 100',
  expect: 'a text',
  fail: 'a text',
} as const

/** Options of `retrap run`: the names, and the ones that may be given several times. */
export interface KnownOptions {
  readonly names: ReadonlySet<string>
  readonly repeatable: ReadonlySet<string>
}

/** Returns the seconds of a time limit; undefined: it is none. */
export function timeoutIn(text: string): number | undefined {
  const seconds = secondsIn(text) ?? 0
  return seconds > 0 && seconds <= LONGEST_TIMEOUT_SECONDS ? seconds : undefined
}

const scalar = z.union([z.string(), z.number(), z.boolean()])
const text = z.union([z.string().min(1), z.number()])
const texts = z.union([z.array(text), text])
/** A list of values is an axis of the machine's matrix. */
const axis = z.union([z.array(scalar).min(1), scalar])
/** For a repeatable option a list is one value, and a list of lists an axis. */
const lists = z.union([z.array(z.array(scalar)).min(1), z.array(scalar).min(1), scalar])

export type Scalar = z.output<typeof scalar>
/** A value of an option, or several. */
export type Values = z.output<typeof lists>

const described = <Schema extends z.ZodType>(key: keyof typeof FORMS, schema: Schema): z.ZodOptional<Schema> =>
  schema.describe(FORMS[key]).optional()

/** Keys that a plan may have at its top, too, for all machines. */
export const SETTINGS = {
  repeat: described('repeat', z.int().min(1).max(MOST_JOBS)),
  timeout: described(
    'timeout',
    z.union([z.number(), z.string()]).refine((given) => timeoutIn(`${given}`) !== undefined),
  ),
  retries: described('retries', z.int().min(0).max(100)),
  expect: described('expect', texts),
  fail: described('fail', texts),
}

const named = { name: described('name', text), ...SETTINGS }
const anyMachine = z
  .object({ ...named, system: described('system', z.enum(SYSTEMS)), images: lists.optional() })
  .catchall(lists)

/** Checks a plan file without the names of the options of `retrap run`. */
export const PLAN = z.strictObject({ machines: z.array(anyMachine), ...SETTINGS })
export type Plan = z.output<typeof PLAN>

/** Whether a list is one value of an option. */
export const isRepeatable = (option: string, { repeatable }: KnownOptions): boolean =>
  option === 'images' || repeatable.has(option)

/** Checks a plan file; an option that `retrap run` lacks is a mistake. */
export function planSchema(known: KnownOptions): z.ZodType {
  const optionsOf = (names: Iterable<string>) =>
    Object.fromEntries([...names].map((name) => [name, (isRepeatable(name, known) ? lists : axis).optional()]))
  const run = z.strictObject({
    ...optionsOf(['images', ...known.names]),
    ...named,
    system: z.literal('run').optional(),
  })
  const other = z.object({
    ...optionsOf(['images', ...known.repeatable]),
    ...named,
    system: z.enum(SYSTEMS).exclude(['run']),
  })
  const machine = z.discriminatedUnion('system', [run, other.catchall(axis)])
  return z.strictObject({ machines: z.array(machine), ...SETTINGS })
}

/** Of PLAN, for editors: `node src/plan/plan-schema.ts >plan.schema.json`. */
export const jsonSchema = (): object => z.toJSONSchema(PLAN)

if (import.meta.main) console.log(JSON.stringify(jsonSchema(), null, 2))
