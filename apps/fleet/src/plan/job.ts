import { z } from 'zod'
import type { Artefact } from '../store/store.ts'

/** How a machine uses a file named in its arguments. */
export type FileUse =
  /** The file is only read. */
  | 'read'
  /** The guest may write the file, such as a disk. */
  | 'write'
  /** The file is a module with device models, which runs with the worker's rights. */
  | 'code'

/** A file's name within the arguments of a job. */
export interface FileName {
  /** Index of the argument. */
  readonly arg: number
  /** Index of the name's first character in the argument. */
  readonly at: number
  readonly name: string
  readonly use: FileUse
}

/** A file that a job needs, in a store. */
export type JobInput = FileName & Artefact

/** One machine to run, with conditions for its success: plain data, because it is sent through a queue. */
export interface Job {
  /** Identity of the job in its plan: its position, and a digest of its content. */
  readonly id: string
  /** Name for people: the machine's, and the values of its matrix. */
  readonly name: string
  /** The command of `retrap` that makes the machine; `cluster` explores one. */
  readonly system: 'run' | 'linux' | 'restore' | 'replay' | 'cluster'
  /** Folder that file names begin at. */
  readonly folder: string
  /** Arguments of the command. */
  readonly args: readonly string[]
  /** The files that the arguments name, in a store; absent where files have the same names on every host. */
  readonly inputs?: readonly JobInput[]
  /** Texts that the guest has to print, in this order; without one it has to power off with exit code 0. */
  readonly expect: readonly string[]
  /** Texts each of which fails the attempt at once if printed before the last expected text. */
  readonly fail?: readonly string[]
  /** Host time limit for one attempt. */
  readonly timeoutSeconds: number
  /** Number of further attempts after a failed one. */
  readonly retries: number
}

/** Result of an attempt. */
export type Outcome =
  /** All expected texts were printed, or the guest powered off where none was expected. */
  | 'passed'
  /** The machine ended before it had printed the expected texts, or it has printed a failing text. */
  | 'ended'
  /** The attempt's time limit has passed. */
  | 'timeout'
  /** Nothing is known of the guest: a wrong option, a file that cannot be read, trouble within `retrap`, or a host that ends machines. */
  | 'error'

/** The end of an attempt. */
export interface Attempt {
  readonly job: string
  /** Counts from 1. */
  readonly attempt: number
  readonly outcome: Outcome
  /** One line for people: the missing text, the signal, or the error. */
  readonly detail: string
  readonly seconds: number
  /** The machine's exit code; null if a signal ended it. */
  readonly exitCode: number | null
  /** The last lines that guest and `retrap` have printed. */
  readonly tail: string
  /** Files that the machine left in the store: its log, and output files of its options. */
  readonly artefacts?: readonly (Artefact & { readonly name: string })[]
  /** Findings of a job of a cluster. */
  readonly explored?: Explored | undefined
}

/** An attempt that has failed without an end of its machine. @param seconds - how long the attempt took */
export const failedAttempt = ({ id }: Job, attempt: number, detail: string, seconds = 0): Attempt => ({
  job: id,
  attempt,
  outcome: 'error',
  detail,
  seconds,
  exitCode: null,
  tail: '',
})

/** A job with its attempts. */
export interface JobResult {
  readonly job: Job
  readonly attempts: readonly Attempt[]
  /** Whether the last attempt has passed. */
  readonly passed: boolean
}

const plan = z.looseObject({
  seed: z.int(),
  failure: z.string(),
  faults: z.array(z.looseObject({})),
  path: z.array(z.looseObject({ faults: z.array(z.looseObject({})) })).optional(),
})
/** States of a tree, or with `--from-start` branches. */
const explored = z
  .object({
    seed: z.int(),
    states: z.int().optional(),
    branches: z.int().optional(),
    findings: z.array(z.object({ state: z.int().optional(), branch: z.int().optional(), plan })),
  })
  .transform(({ seed, states, branches, findings }) => ({
    seed,
    count: states ?? branches ?? 0,
    findings: findings.map(({ state, branch, plan: found }) => ({
      name: state === undefined ? `branch ${branch}` : `state ${state}`,
      plan: found,
    })),
  }))

/** Findings of `retrap cluster explore` with a seed. The plan of a failure is for `retrap cluster run --plan`. */
type Explored = z.output<typeof explored>

/** Reads the last line of `retrap cluster explore --jsonl`; undefined for another line. */
export function readExplored(line: string): Explored | undefined {
  try {
    return explored.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}

/** Tells failures in one line. */
export const findingsText = ({ findings }: Explored): string =>
  findings.map(({ name, plan: { failure } }) => `${name}: ${failure}`).join('; ')
