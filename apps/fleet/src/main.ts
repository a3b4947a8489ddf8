#!/usr/bin/env node
import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'
import { PlanError } from './plan/read-plan.ts'
import { endLine, printable } from './progress.ts'
import { EmbeddedQueue } from './queue/queue.ts'
import { checkedQueueUrl, QueueUrlError } from './queue/queue-server.ts'
import { serveQueue, SharedQueue } from './queue/shared-queue.ts'
import { runPlan } from './run-plan.ts'
import { runMachine } from './worker/machine-process.ts'

const USAGE_EXIT = 2
/** A young generation of V8's default size would take 40 MiB for each machine. */
const NODE_OPTIONS = ['--max-semi-space-size=1']

const EXAMPLES = `
A plan, in YAML:
  machines:
    - kernel: vmlinuz            # options of "retrap run" by their names; files are beside the plan
      initrd: initrd.gz
      append: console=ttyS0
      cpus: [1, 2, 4]            # a list of values: a job for each combination
      expect: "login:"           # the text that the guest has to print
      timeout: 60                # seconds; default 60
    - { system: linux, command: uname -a, expect: Linux, repeat: 10 }

Exit code: 0 if every job has met its expectation, 1 if one has not, 2 for a mistake in the plan or an option.`

interface RunFlags {
  readonly out: string
  readonly jobs: number
  readonly queue?: string
}

interface WorkerFlags {
  readonly queue: string
  readonly jobs: number
  readonly logs: string
}

const program = new Command('retrap-fleet')
  .description('Runs machines by the hundred, from a plan file.')
  .showHelpAfterError('(see retrap-fleet --help)')
  .exitOverride()
program
  .command('run')
  .description('Runs all jobs of a plan on this host, and writes results.xml (JUnit) and results.json.')
  .argument('<plan>', 'a YAML file')
  .option('--out <folder>', 'where results and the log of each attempt go', 'fleet-results')
  .option('--jobs <number>', 'machines at the same time', parseJobs, availableParallelism())
  .option('--queue <url>', 'workers make the jobs, from a queue on Redis; see retrap-fleet worker', checkedQueueUrl)
  .addHelpText('after', EXAMPLES)
  .action(async (plan: string, flags: RunFlags) => {
    process.exitCode = await run(plan, flags)
  })
program
  .command('worker')
  .description(
    'Makes jobs of a queue until it is ended. The files of a plan have the same paths here as where it is run.',
  )
  .requiredOption(
    '--queue <url>',
    'a queue on Redis: redis://127.0.0.1:6379, or rediss://:PASSWORD@HOST:PORT',
    checkedQueueUrl,
  )
  .option('--jobs <number>', 'machines at the same time', parseJobs, availableParallelism())
  .option('--logs <folder>', 'where the log of each attempt goes', 'fleet-logs')
  .action(work)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof PlanError || error instanceof QueueUrlError || isTrouble(error)) {
    console.error(`retrap-fleet: ${error.message}`)
    process.exitCode = USAGE_EXIT
  } else if (isCommanderError(error)) process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT
  else throw error
}

async function run(path: string, { out, jobs, queue }: RunFlags): Promise<number> {
  const passed = await runPlan(path, {
    retrap: [process.execPath, ...NODE_OPTIONS, retrapMain()],
    queueOf: (make) => (queue === undefined ? new EmbeddedQueue(jobs, make) : new SharedQueue({ url: queue })),
    ...{ out, progress: process.stderr, signal: endingSignal() },
  })
  return passed ? 0 : 1
}

async function work({ queue, jobs, logs }: WorkerFlags): Promise<void> {
  mkdirSync(logs, { recursive: true })
  const retrap = [process.execPath, ...NODE_OPTIONS, retrapMain()] as const
  let last = ''
  const say = (line: string): void => {
    if (line !== last) console.error(line)
    last = line
  }
  await serveQueue(
    {
      ...{ url: queue, concurrency: jobs },
      listener: {
        started: ({ name }) => say(`started ${printable(name)}`),
        ended: (job, { outcome, seconds, detail }) => say(`${outcome} ${endLine(job, seconds, detail)}`),
        trouble: (message) => say(`the queue cannot be used, and is asked again: ${printable(message)}`),
      },
    },
    (job, attempt, signal) => runMachine({ retrap, logs }, job, attempt, signal),
    endingSignal(),
  )
}

function endingSignal(): AbortSignal {
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => ended.abort())
  return ended.signal
}

/** The program of the package `retrap`. */
function retrapMain(): string {
  const manifest = fileURLToPath(import.meta.resolve('retrap/package.json'))
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { retrap: string } }
  return join(dirname(manifest), bin.retrap)
}

function parseJobs(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= 10_000) return count
  throw new InvalidArgumentError('give a whole number from 1 to 10000')
}

/** An error of the file system, whose message names the file. */
function isTrouble(error: unknown): error is Error {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && 'syscall' in error
}

function isCommanderError(error: unknown): error is { readonly exitCode: number } {
  return error instanceof Error && error.constructor.name.startsWith('Commander') && 'exitCode' in error
}
