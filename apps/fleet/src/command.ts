import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plainLine } from '@retrap/basics'
import { Command, InvalidArgumentError, Option } from 'commander'
import { bisectPlan } from './bisect.ts'
import { exploreCluster, type ExploreFlags } from './cluster/explore-cluster.ts'
import { FORMS, MOST_JOBS, timeoutIn } from './plan/plan-schema.ts'
import { PlanError } from './plan/read-plan.ts'
import { endLine } from './progress.ts'
import { checkedQueueUrl, embeddedQueue, QueueUrlError } from './queue/queue.ts'
import { makerOf, type PlanRun, runPlan } from './run-plan.ts'
import { FileCache } from './store/file-cache.ts'
import { openStore } from './store/s3-store.ts'
import { isSha256, StoreError } from './store/store.ts'
import { removeAbandoned, type StoredJobs } from './worker/job-folder.ts'

const USAGE_EXIT = 2
/** The most machines at the same time. */
const MOST_MACHINES = 10_000
const USUAL_CACHE_GIB = 20
/** A young generation of V8's default size would take 40 MiB for each machine. */
const NODE_OPTIONS = ['--max-semi-space-size=1', '--import', import.meta.resolve('./worker/end-with-parent.mjs')]

const EXAMPLES = `
A plan, in YAML:
  machines:
    - kernel: vmlinuz            # options of "retrap run" by their names; files are beside the plan
      initrd: initrd.gz
      append: console=ttyS0
      cpus: [1, 2, 4]            # a list of values: a job for each combination
      expect: "login:"           # the text that the guest has to print
      timeout: 60                # seconds, or a time such as 10m; default 60
    - { system: linux, command: uname -a, expect: Linux, repeat: 10 }

Exit code: 0 if every job has met its expectation (bisect: if the first bad one was found), 1 if not, 2 for a mistake in the plan or an option.`

const EXPLORE_HELP = `
All hosts have the files of the cluster at the same paths. A table on stdout has a line for each seed: it does not depend on hosts,
their number or their speed. Each failure is a plan in the folder plans of --out; to see it again, anywhere:
  retrap cluster run cluster.json --plan fleet-results/plans/seed-7-state-12.json --record failure.run`

interface StoreFlags {
  readonly store?: string
  readonly cache: string
  readonly cacheSize: number
}

interface RunFlags extends StoreFlags {
  readonly out: string
  readonly jobs: number
  readonly queue?: string
}

interface WorkerFlags extends StoreFlags {
  readonly queue: string
  readonly jobs: number
  readonly logs: string
  readonly allowModule: readonly string[]
}

/** Options with passwords may come from the environment, which other users of the host do not see. */
const store = (): Option =>
  new Option(
    '--store <where>',
    'files by the hash of their content: a folder, or s3://BUCKET/PREFIX?endpoint=https://HOST',
  ).env('RETRAP_FLEET_STORE')
const queueOption = (text: string): Option =>
  new Option('--queue <url>', text).argParser(checkedQueueUrl).env('RETRAP_FLEET_QUEUE')
const byWorkers = queueOption('workers make the jobs, from a queue on Redis or PostgreSQL; see retrap-fleet worker')
const jobs = (what: string): Option =>
  new Option('--jobs <number>', `${what} at the same time`)
    .argParser(parseCount(MOST_MACHINES))
    .default(availableParallelism())
const cache = new Option(
  '--cache <folder>',
  'with --store: files that were fetched, and folders of running machines',
).default(defaultCache())
const cacheSize = new Option('--cache-size <GiB>', 'with --store: files unused for an hour are removed above that')
  .argParser(parseGib)
  .default(USUAL_CACHE_GIB)

const program = new Command('retrap-fleet')
  .description('Runs machines by the hundred, from a plan file.')
  .showHelpAfterError('(see retrap-fleet --help)')
  .exitOverride()
for (const [name, perform, description] of [
  ['run', runPlan, 'Runs all jobs of a plan, and writes results.xml (JUnit), results.json and results.html.'],
  ['bisect', bisectPlan, 'Finds the first machine of a plan that fails, such as of kernel: [good, …, bad].'],
] as const) {
  program
    .command(name)
    .description(description)
    .argument('<plan>', 'a YAML file')
    .option('--out <folder>', 'where results and the log of each attempt go', 'fleet-results')
    .addOption(jobs('machines'))
    .addOption(byWorkers)
    .addOption(store())
    .addOption(cache)
    .addOption(cacheSize)
    .addHelpText('after', EXAMPLES)
    .action(async (plan: string, flags: RunFlags) => {
      process.exitCode = (await perform(plan, await planRun(flags))) ? 0 : 1
    })
}
program
  .command('explore')
  .description('Looks for failures of a cluster, as retrap cluster explore does: many seeds, at once.')
  .argument('<file>', 'the cluster, as JSON')
  .option('--seed <number>', 'the first seed', parseSeed, 1)
  .option('--seeds <number>', 'so many seeds', parseCount(MOST_JOBS), 8)
  .addOption(
    new Option(
      '--branches <range>',
      'of each seed, so many states; with --from-start branches, also from one to another: 21-40',
    )
      .argParser(parseRange)
      .default([1, 60], '60'),
  )
  .option(
    '--slice <number>',
    'with --from-start: branches of a job, which starts the cluster once, and knows its own branches only',
    parseCount(MOST_JOBS),
    20,
  )
  .option('--keep-going', 'look for further failures after the first of a job')
  .option('--from-start', 'begin each branch where all is ready, and spread branches, too')
  .option('--blind', 'with --from-start: draw the faults of each branch afresh')
  .option('--timeout <time>', 'host time of a job, such as 3600 or 1h', parseTimeout, 3600)
  .option('--out <folder>', 'where plans of failures, results and the log of each attempt go', 'fleet-results')
  .addOption(jobs('clusters'))
  .addOption(byWorkers)
  .addHelpText('after', EXPLORE_HELP)
  .action(async (file: string, flags: RunFlags & ExploreFlags) => {
    process.exitCode = (await exploreCluster(file, flags, await planRun(flags), process.stdout)) ? 0 : 1
  })
program
  .command('worker')
  .description(
    'Makes jobs of a queue until it is ended. Without --store the files of a plan have the same paths here as where it is run.',
  )
  .addOption(
    queueOption(
      'a queue on Redis, redis://127.0.0.1:6379 or rediss://:PASSWORD@HOST:PORT, or PostgreSQL, postgres://…',
    ).makeOptionMandatory(),
  )
  .addOption(jobs('machines'))
  .option('--logs <folder>', 'where the log of each attempt goes', 'fleet-logs')
  .addOption(store())
  .addOption(cache)
  .addOption(cacheSize)
  .option(
    '--allow-module <sha256>',
    'with --store: a module with devices that may run here (repeatable)',
    parseHash,
    [],
  )
  .action(work)
program
  .command('get')
  .description('Fetches a file from a store: results.json has the hashes of what machines have left.')
  .argument('<sha256>', 'the hash of its content', (text: string) => parseHash(text, [])[0])
  .argument('<file>', 'where it goes')
  .addOption(store().makeOptionMandatory())
  .action((sha256: string, file: string, { store }: { store: string }) => openStore(store).get(sha256, file))

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof PlanError || error instanceof QueueUrlError || error instanceof StoreError || isTrouble(error)) {
    // Each mistake of a plan is a line.
    console.error(`retrap-fleet: ${error instanceof PlanError ? error.message : plainLine(error.message)}`)
    process.exitCode = USAGE_EXIT
  } else if (isCommanderError(error)) process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT
  else throw error
}

async function planRun(flags: Omit<RunFlags, keyof StoreFlags> & Partial<StoreFlags>): Promise<PlanRun> {
  const { out, jobs, queue } = flags
  // Clients of Redis and PostgreSQL take longer to load than all the rest.
  const shared = queue === undefined ? undefined : (await import('./queue/shared-queue.ts')).sharedQueue({ url: queue })
  return {
    retrap: [process.execPath, ...NODE_OPTIONS, retrapMain()],
    queueOf: (make) => shared ?? embeddedQueue(jobs, make),
    // The author of the plan has named its modules.
    ...storedJobs(flags, 'all'),
    ...{ out, progress: process.stderr, signal: endingSignal() },
  }
}

async function work(flags: WorkerFlags): Promise<void> {
  const { queue, jobs, logs, allowModule } = flags
  mkdirSync(logs, { recursive: true })
  const { stored } = storedJobs(flags, new Set(allowModule))
  if (stored !== undefined) await removeAbandoned(stored.scratch)
  const retrap = [process.execPath, ...NODE_OPTIONS, retrapMain()] as const
  const { serveQueue } = await import('./queue/shared-queue.ts')
  let last = ''
  const say = (line: string): void => {
    if (line !== last) console.error(line)
    last = line
  }
  await serveQueue(
    {
      ...{ url: queue, concurrency: jobs },
      listener: {
        started: ({ name }) => say(`started ${plainLine(name)}`),
        ended: (job, { outcome, seconds, detail }) => say(`${outcome} ${endLine(job, seconds, detail)}`),
        trouble: (message) => say(`the queue cannot be used, and is asked again: ${plainLine(message)}`),
      },
    },
    makerOf({ retrap, logs }, stored),
    endingSignal(),
  )
}

function storedJobs(
  { store: address, cache = defaultCache(), cacheSize = USUAL_CACHE_GIB }: Partial<StoreFlags>,
  modules: StoredJobs['modules'],
): { readonly stored?: StoredJobs } {
  if (address === undefined) return {}
  const store = openStore(address)
  const files = new FileCache(join(cache, 'files'), store, cacheSize * 2 ** 30)
  return { stored: { ...{ store, modules }, cache: files, scratch: join(cache, 'machines') } }
}

/** Returns the default cache, by the XDG base directory specification. */
function defaultCache(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'retrap', 'fleet')
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

function parseCount(most: number): (text: string) => number {
  return (text) => {
    const count = Number(text)
    if (Number.isInteger(count) && count >= 1 && count <= most) return count
    throw new InvalidArgumentError(`give a whole number from 1 to ${most}`)
  }
}

function parseTimeout(text: string): number {
  const seconds = timeoutIn(text)
  if (seconds !== undefined) return seconds
  throw new InvalidArgumentError(`give ${FORMS.timeout}`)
}

function parseSeed(text: string): number {
  const seed = Number(text)
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return seed
  throw new InvalidArgumentError('give a whole number below 4294967296')
}

function parseRange(text: string): readonly [number, number] {
  const [, from = '1', to] = /^(?:(\d+)-)?(\d+)$/.exec(text) ?? []
  const range = [Number(from), Number(to)] as const
  if (range[0] >= 1 && range[1] >= range[0] && range[1] < 2 ** 32) return range
  throw new InvalidArgumentError('give a number such as 60, or a range such as 21-40')
}

function parseGib(text: string): number {
  const size = Number(text)
  if (size > 0 && size <= 2 ** 20) return size
  throw new InvalidArgumentError('give a number of GiB above 0')
}

function parseHash(text: string, before: readonly string[]): readonly string[] {
  if (isSha256(text)) return [...before, text]
  throw new InvalidArgumentError('give the 64 lower-case digits of sha256sum')
}

/** An error of the file system, whose message names the file. */
function isTrouble(error: unknown): error is Error {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && 'syscall' in error
}

function isCommanderError(error: unknown): error is { readonly exitCode: number } {
  return error instanceof Error && error.constructor.name.startsWith('Commander') && 'exitCode' in error
}
