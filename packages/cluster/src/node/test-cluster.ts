import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import {
  ClusterError,
  type ClusterEvent,
  type ClusterInput,
  describeFault,
  faultsOf,
  GENERATOR,
  type Plan,
  readCluster,
  readPlan,
  timeText,
} from '../index.ts'

/** Options of a test of a cluster. */
export interface ClusterTestOptions {
  /** The number that random draws follow from (1). */
  readonly seed?: number | undefined
  /** The path of a plan that `retrap cluster explore` has left: its seed and its faults. */
  readonly plan?: string | undefined
  /** Explores so many states of the seed, as `retrap cluster explore` does, instead of a single run. The cluster starts once. */
  readonly branches?: number | undefined
  /** Options of `retrap cluster config` for a Compose file, such as `['--images', 'images', '--only', 'db']`. */
  readonly compose?: readonly string[] | undefined
  /** The folder that paths of the cluster and of the plan begin at; default the current one. */
  readonly folder?: string | undefined
  /** A folder for the files of a failure, which is emptied; default `temp/retrap/cluster`. */
  readonly outputFolder?: string | undefined
  /** The program and arguments that start `retrap`; default those of the package `retrap`, as it is found from `folder`. */
  readonly retrap?: readonly [program: string, ...args: string[]] | undefined
  /** Ends the run. */
  readonly signal?: AbortSignal | undefined
}

/** Lines that a failure shows of the run, from its end. */
const SHOWN_LINES = 20

/**
 * Runs a cluster of Linux guests under one seed or plan, by the command `retrap`.
 *
 * @param cluster - its description, or the path of a `cluster.json`, of a Compose file or of the folder of one
 * @throws ClusterError `ERR_FAILED` where the cluster has failed: the message has the seed, the faults, the last lines, and the
 *   commands that show the same run again; `ERR_CLUSTER` for a wrong description; `ERR_MACHINE` for a cluster that cannot run
 */
export async function testCluster(cluster: ClusterInput | string, options: ClusterTestOptions = {}): Promise<void> {
  const { seed = 1, branches, folder = '.', outputFolder = join('temp', 'retrap', 'cluster'), signal } = options
  const retrap = options.retrap ?? retrapFrom(folder)
  const path = resolve(folder, typeof cluster === 'string' ? cluster : 'cluster.json')
  const input = typeof cluster === 'string' ? await inputOf(path, retrap, options) : cluster
  const description = readCluster(input)
  const file = join(outputFolder, 'cluster.json')
  const planFile = join(outputFolder, 'plan.json')
  const writePlan = (plan: Plan) => writeFile(planFile, `${JSON.stringify(plan, undefined, 2)}\n`)
  const given = options.plan && readPlan(JSON.parse(await readFile(resolve(folder, options.plan), 'utf8')), description)
  await rm(outputFolder, { recursive: true, force: true })
  await mkdir(outputFolder, { recursive: true })
  await writeFile(file, `${JSON.stringify(withPaths(input, dirname(path)), undefined, 2)}\n`)
  if (given) await writePlan(given)
  const run = (words: readonly string[]): Promise<Ran> => runRetrap([...retrap, 'cluster', ...words, '--jsonl'], signal)
  const many = ['explore', file, '--seed', `${seed}`, '--branches', `${branches}`]
  const one = ['run', file, ...(given ? ['--plan', planFile] : ['--seed', `${seed}`])]
  const { how, stdout, stderr } = await run(branches === undefined || given ? one : many)
  const last = eventsOf(stdout).at(-1) as { readonly kind?: string } | undefined
  // A command that has not told its result has not come to its end.
  const isTold = last?.kind === 'result' || last?.kind === 'explored'
  if (isTold && how === 'exit code 0') return rm(outputFolder, { recursive: true, force: true })
  const failed =
    isTold && how === 'exit code 1' ? failureOf(last, given || { seed, draws: GENERATOR, branch: 0 }) : undefined
  if (failed === undefined)
    throw new ClusterError('ERR_MACHINE', `the cluster was not run to its end (${how}): ${stderr.trim()}`)
  await writePlan(failed)
  // A run that is recorded is the same.
  const recording = join(outputFolder, 'failure.run')
  const again = await run(['run', file, '--plan', planFile, '--record', recording])
  throw new ClusterError('ERR_FAILED', messageOf(failed, eventsOf(again.stdout), { file, planFile, recording }))
}

/** Reads the file of a cluster. The command makes a description of a Compose file. */
async function inputOf(file: string, retrap: readonly string[], options: ClusterTestOptions): Promise<ClusterInput> {
  const { folder, compose = [], signal } = options
  if (/\.json$/i.test(file)) return JSON.parse(await readFile(file, 'utf8')) as ClusterInput
  const words = [...retrap, 'cluster', 'config', file, '--json', ...compose]
  const { how, stdout, stderr } = await runRetrap(words, signal, folder)
  if (how === 'exit code 0') return JSON.parse(stdout) as ClusterInput
  throw new ClusterError('ERR_CLUSTER', stderr.trim())
}

/** A cluster whose paths are of the whole host. */
const withPaths = (cluster: ClusterInput, folder: string): ClusterInput => ({
  ...cluster,
  machines: cluster.machines.map(({ image, root, machine: own, share, ...machine }) => ({
    ...machine,
    ...(image !== undefined && { image: resolve(folder, image) }),
    ...(root !== undefined && { root: resolve(folder, root) }),
    ...(own !== undefined && { machine: resolve(folder, own) }),
    ...(share !== undefined && {
      share: share.map((one) => (one.startsWith('/') ? one : `${resolve(folder)}/${one}`)),
    }),
  })),
})

/** The command of the package `retrap` that a folder's modules get. */
export function retrapFrom(folder: string): readonly [string, ...string[]] {
  try {
    const { resolve: find } = createRequire(resolve(folder, 'tests.js'))
    return [process.execPath, join(dirname(find('retrap/package.json')), 'dist', 'main.js')]
  } catch (cause) {
    throw new ClusterError('ERR_MACHINE', `the package retrap is not found from ${resolve(folder)}: install it`, {
      cause,
    })
  }
}

/** The end of a command, and its output. */
export interface Ran {
  /** `exit code 0`, or the signal. */
  readonly how: string
  readonly stdout: string
  readonly stderr: string
}

/** Lines of JSON: whole ones, as the command may have been killed in one. */
const eventsOf = (stdout: string): readonly ClusterEvent[] =>
  (stdout.match(/.*\n/g) ?? []).map((line) => JSON.parse(line) as ClusterEvent)

export function runRetrap([program, ...args]: readonly string[], signal?: AbortSignal, cwd?: string): Promise<Ran> {
  return new Promise((end, fail) => {
    const child = spawn(program!, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const stop = (): void => void child.kill('SIGINT')
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    child.once('error', fail)
    child.once('close', (code, by) => {
      signal?.removeEventListener('abort', stop)
      end({ how: code === null ? `ended by ${by}` : `exit code ${code}`, stdout, stderr })
    })
  })
}

/** The failure that a command's last line tells, as a plan. @param given - the plan that was run, or the seed */
function failureOf(line: unknown, given: Omit<Plan, 'failure' | 'faults'>): Plan | undefined {
  const { findings, failure, faults, madeWith } = (line ?? {}) as Partial<Plan> & {
    readonly findings?: readonly { plan: Plan }[]
  }
  if (findings !== undefined) return findings[0]?.plan
  if (failure === undefined || faults === undefined) return undefined
  return { ...given, failure, faults: given.path === undefined ? faults : [], madeWith }
}

const word = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`)

function messageOf(
  { seed, branch, failure, faults: ofBranch, path, mended }: Plan,
  events: readonly ClusterEvent[],
  files: { readonly file: string; readonly planFile: string; readonly recording: string },
): string {
  const [file, plan, recording] = [files.file, files.planFile, files.recording].map(word)
  const faults = path === undefined ? ofBranch : faultsOf(path)
  const ends = mended === true ? ' at whose end all is mended' : ''
  const where = path === undefined ? `branch ${branch}` : `a path of ${path.length} stretches${ends}`
  const told = events.flatMap(({ ns, machine, text }) =>
    text === undefined ? [] : [`  ${(ns / 1e9).toFixed(6)} ${machine ?? '-'}: ${text}`],
  )
  return [
    failure,
    `Seed ${seed}, ${where}, and ${faults.length === 0 ? 'no faults' : 'these faults:'}`,
    ...faults.map((fault) => `- ${timeText(fault.at)}: ${describeFault(fault)}`),
    'The last lines:',
    ...told.slice(-SHOWN_LINES),
    'The same again; keep the plan to have it as a test:',
    `  retrap cluster run ${file} --plan ${plan}`,
    'What happened, in a page, and in one of the machines:',
    `  retrap web --recording ${recording}`,
    `  retrap cluster replay ${recording} --machine NAME --goto TIME --gdb 1234`,
  ].join('\n')
}
