// npm run -s mutate -- PACKAGE [--count N] [--seed S] [--file TEXT]
// npm run -s mutate -- --all [--count N] [--seed S]
// npm run -s mutate -- --named [--file TEXT]
//
// Changes one token of a package's sources at a time (an operator, a number, a negation) and runs the package's tests
// that depend on the file, to the first failure. A change that no test notices is a survivor: a missing test, or a change
// that changes nothing. The latter are named with their reason in `.config/equivalent-mutations.json`, and another is
// drawn in their place. The exit code is 1 if there are survivors.
//
// `--all` draws the package of each change as well, so that small packages count as much as large ones.
//
// `--named` makes the changes of `.config/named-mutations.json` instead: mistakes that somebody thought of. Each row says
// which tests have to notice it; one whose text has changed is stale, which fails here and in `npm test`. Golden texts are
// left out, since they notice any change of what is generated.
//
// Each change is printed on stderr when it begins, and on stdout when it is judged. The last line sums up what has been tried,
// also after SIGTERM, SIGINT or SIGHUP.
//
// Tests that npm test takes in turn are all taken, with as many cases as there (RETRAP_EVERY_TEST).
//
// No file is written: vitest reads the change from RETRAP_MUTATION (packages/tooling/src/vitest.ts), and so do threads and programs
// that Node loads from sources (mutation-hook.ts).
import { spawn } from 'node:child_process'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { basename, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { lineOf, type Mutation, mutationsOf } from './mutations.ts'
import { equivalentMutations, namedMutations, staleness } from './named-mutations.ts'
import { type Member, members, root } from './workspace.ts'

/** Tests that compare what is generated with a text. */
const GOLDEN = /\btext\.test\.ts$/

/** The configuration that makes the changes: some packages have one of their own. */
const CONFIG = join(root, 'packages/tooling/vitest.config.ts')
const HOOK = pathToFileURL(join(root, '.scripts/mutation-hook.ts')).href
/** Test files run in groups by how long they take: nearly all changes are noticed by one of the first group. */
const QUICK_MS = 2000
const GROUPS_MS = [QUICK_MS, 10_000, Infinity]
/** A test run that takes this many times as long as without a change has noticed it. */
const PATIENCE = 5
const LEAST_PATIENCE_MS = 60_000
/** How long a group may take whose test files have not run before. */
const PATIENCE_AT_FIRST_MS = 900_000

const USAGE = `Usage: npm run -s mutate -- PACKAGE [--count N] [--seed S] [--file TEXT]
       npm run -s mutate -- --all [--count N] [--seed S]
       npm run -s mutate -- --named [--file TEXT]

Change one token of a package's sources at a time, and run the tests that depend on it.

  PACKAGE      the name of a folder in packages/ or apps/
  --count N    try N changes (default 20)
  --seed S     draw the changes by this seed (default: a random one, which is printed)
  --all        draw each change from a package that is drawn too
  --file TEXT  change only files whose paths have this text
  --named      make the changes that .config/named-mutations.json describes

The exit code is 0 where a test notices each change, 1 where one survives, 2 for an error.
Changes that change nothing are named in .config/equivalent-mutations.json.
`

/** What has been tried so far, in a line. */
let summary = (): string => 'mutate: no change was tried'
/** Ends the test run of a change. */
let killTests = (): void => {}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killTests()
    console.log(`stopped by ${signal}\n${summary()}`)
    process.exit(128 + constants.signals[signal])
  })
}

/** The part of vitest's report that matters here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly startTime: number
    readonly endTime: number
  }[]
}

/** The part of vitest's programming interface that matters here. */
interface VitestModule {
  createVitest(this: void, mode: 'test', options: object): Promise<Vitest>
}
interface Vitest {
  readonly config: { related?: string[] }
  getRelevantTestSpecifications(): Promise<readonly { readonly moduleId: string }[]>
  close(): Promise<void>
}

/** A number from 0 up to 1, by a seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A package's tests: which depend on a file, how long each takes, and whether a change makes one fail. */
class Tests {
  readonly #folder: string
  readonly #vitest: Vitest
  /** Milliseconds by path from the folder, from this run of the program and earlier ones. */
  readonly #durations: Map<string, number>
  /** The test files that have been seen to pass without a change. */
  readonly #good = new Set<string>()

  private constructor(folder: string, vitest: Vitest) {
    this.#folder = folder
    this.#vitest = vitest
    const file = this.#durationsFile
    this.#durations = new Map(existsSync(file) ? Object.entries(JSON.parse(readFileSync(file, 'utf8')) as object) : [])
  }

  static async of(folder: string): Promise<Tests> {
    const node = createRequire(join(folder, 'package.json')).resolve('vitest/node')
    const { createVitest } = (await import(pathToFileURL(node).href)) as VitestModule
    return new Tests(folder, await createVitest('test', { root: folder, watch: false, related: [], reporters: [] }))
  }

  get #durationsFile(): string {
    return join(this.#folder, 'temp/mutate-durations.json')
  }

  /** Runs the tests that depend on a file, with a change to it. @returns whether one of them fails or does not end */
  async notice(path: string, mutation: Mutation): Promise<boolean> {
    this.#vitest.config.related = [path]
    const related = await this.#vitest.getRelevantTestSpecifications()
    const files = related.map(({ moduleId }) => relative(this.#folder, moduleId))
    return this.noticeBy(files, path, mutation)
  }

  /** Runs test files, the quick ones first. @returns whether one of them fails or does not end */
  async noticeBy(files: readonly string[], path: string, mutation: Mutation): Promise<boolean> {
    const group = (file: string): number =>
      GROUPS_MS.findIndex((limit) => (this.#durations.get(file) ?? QUICK_MS + 1) <= limit)
    for (const some of GROUPS_MS.map((_, i) => files.filter((file) => group(file) === i))) {
      if (some.length > 0 && (await this.#isNoticed(some, { file: path, ...mutation }))) return true
    }
    return false
  }

  async #isNoticed(files: readonly string[], change: object): Promise<boolean> {
    const known = files.map((file) => this.#durations.get(file))
    const limitMs = known.includes(undefined)
      ? PATIENCE_AT_FIRST_MS
      : Math.max(LEAST_PATIENCE_MS, PATIENCE * known.reduce<number>((sum, took) => sum + (took ?? 0), 0))
    const { code, failed } = await this.#run(files, change, limitMs)
    if (code === 0) return false
    for (const file of failed) {
      if (this.#good.has(file)) continue
      if ((await this.#run([file], undefined, PATIENCE_AT_FIRST_MS)).code !== 0)
        throw new Error(`${file} fails without any change`)
      this.#good.add(file)
    }
    return true
  }

  /** Runs test files to the first failure. The exit code of a run that takes too long is 124, as timeout(1) has it. */
  async #run(
    files: readonly string[],
    change: object | undefined,
    limitMs: number,
  ): Promise<{ readonly code: number; readonly failed: readonly string[] }> {
    // The reporter of the shared configuration writes it (packages/tooling/src/vitest.ts).
    const report = join(this.#folder, 'temp/vitest.json')
    rmSync(report, { force: true })
    const code = await runVitest(this.#folder, files, change, limitMs)
    if (!existsSync(report)) return { code, failed: [] }
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
    const failed: string[] = []
    for (const { name, status, startTime, endTime } of testResults) {
      const file = relative(this.#folder, name)
      if (status === 'passed') this.#durations.set(file, Math.round(endTime - startTime))
      else failed.push(file)
    }
    writeFileSync(this.#durationsFile, JSON.stringify(Object.fromEntries(this.#durations)))
    return { code, failed }
  }

  async close(): Promise<void> {
    await this.#vitest.close()
  }
}

/** Runs vitest in a package. Resolves with its exit code, or with 124 when the time is over. */
function runVitest(
  folder: string,
  files: readonly string[],
  change: object | undefined,
  limitMs: number,
): Promise<number> {
  const vitest = join(folder, 'node_modules/vitest/vitest.mjs')
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [vitest, ...files, '--run', '--bail=1', '--root', folder, '--config', CONFIG],
      {
        cwd: folder,
        env: {
          ...process.env,
          ...(change !== undefined && { RETRAP_MUTATION: JSON.stringify(change), NODE_OPTIONS: `--import=${HOOK}` }),
        },
        stdio: 'ignore',
        // A group of its own: a change may hold a worker in a loop, and the worker outlives vitest then.
        detached: process.platform !== 'win32',
      },
    )
    killTests = (): void => {
      if (process.platform === 'win32') child.kill('SIGKILL')
      else process.kill(-(child.pid as number), 'SIGKILL')
    }
    const timer = setTimeout(killTests, limitMs)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      killTests = () => {}
      resolve(code ?? 124)
    })
  })
}

/** Makes each change of `.config/named-mutations.json`. @returns the exit code */
async function tryNamed(text: string): Promise<number> {
  const rows = namedMutations().filter(({ file }) => file.includes(text))
  const packages = new Map<string, Tests>()
  let tried = 0
  let noticed = 0
  summary = () => `mutate: ${tried} named changes, ${noticed} noticed, ${tried - noticed} survived or stale`
  for (const row of rows) {
    const { what, file, before, after, tests } = row
    const stale = staleness(row)
    if (stale !== undefined) {
      tried++
      console.log(`STALE    ${stale}`)
      continue
    }
    console.error(`${tried + 1} of ${rows.length}: ${what}`)
    const path = join(root, file)
    const start = readFileSync(path, 'utf8').indexOf(before)
    const mutation = { start, end: start + before.length, before, replacement: after }
    let by: string | undefined
    for (const test of tests) {
      const member = members().find(({ folder }) => `${join(root, test)}/`.startsWith(`${folder}/`))
      if (member === undefined) throw new Error(`${test} is in no package`)
      const { folder } = member
      const runner = packages.get(folder) ?? (await Tests.of(folder))
      packages.set(folder, runner)
      const files = test.endsWith('.test.ts')
        ? [relative(folder, join(root, test))]
        : globSync(`${relative(folder, join(root, test))}/**/*.test.ts`, { cwd: folder }).sort()
      const others = files.filter((each) => !GOLDEN.test(each))
      if (await runner.noticeBy(others, path, mutation)) {
        by = test
        break
      }
    }
    tried++
    if (by !== undefined) noticed++
    console.log(by === undefined ? `SURVIVED ${what} (${file})` : `noticed  ${what}, by ${by}`)
  }
  for (const each of packages.values()) await each.close()
  console.log(summary())
  return noticed === rows.length ? 0 : 1
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: 'string' },
      seed: { type: 'string' },
      file: { type: 'string' },
      named: { type: 'boolean' },
      all: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) {
    process.stdout.write(USAGE)
    return 0
  }
  // For what this run looks for in this process, and for the tests that it starts.
  process.env['RETRAP_EVERY_TEST'] = '1'
  if (values.named === true) {
    await provideDebianPrograms()
    return tryNamed(values.file ?? '')
  }
  const [name] = positionals
  const chosen = members().filter(({ folder, path }) =>
    // What has no tests of its own is there for those of others.
    values.all === true
      ? name === undefined && existsSync(join(folder, 'vitest.config.ts'))
      : path.endsWith(`/${name}`),
  )
  if (chosen.length === 0) {
    console.error('mutate: give the name of a package, as its folder has it, or --all')
    return 2
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
  await provideDebianPrograms()
  return trySample(chosen, values.file ?? '', Number(values.count ?? 20), seed)
}

/** A change, and the package whose tests have to notice it. */
interface Candidate {
  readonly folder: string
  readonly path: string
  readonly source: string
  readonly mutation: Mutation
}

/** Every change to the sources of a package whose paths have the text. */
function candidates({ folder }: Member, text: string): Candidate[] {
  return globSync('src/**/*.ts', { cwd: folder, exclude: ['src/generated'] })
    .sort()
    .filter((file) => file.includes(text))
    .flatMap((file) => {
      const path = join(folder, file)
      const source = readFileSync(path, 'utf8')
      return mutationsOf(source).map((mutation) => ({ folder, path, source, mutation }))
    })
}

/** Makes changes that are drawn. @returns the exit code */
async function trySample(chosen: readonly Member[], text: string, count: number, seed: number): Promise<number> {
  const equivalents = equivalentMutations()
  const random = generator(seed)
  const groups = chosen.map((member) => candidates(member, text)).filter((group) => group.length > 0)
  const draw = (): Candidate => {
    const which = groups.length === 1 ? 0 : Math.floor(random() * groups.length)
    const group = groups[which] as Candidate[]
    const [candidate] = group.splice(Math.floor(random() * group.length), 1) as [Candidate]
    if (group.length === 0) groups.splice(which, 1)
    return candidate
  }
  const runners = new Map<string, Tests>()
  let equal = 0
  let noticed = 0
  let tried = 0
  const [only] = chosen
  const what = chosen.length === 1 && only !== undefined ? basename(only.folder) : '--all'
  summary = () =>
    `mutate ${what}: ${tried} changes, ${noticed} noticed, ${tried - noticed} survived, ` +
    `${equal} drawn that change nothing; --seed ${seed}`
  while (tried < count && groups.length > 0) {
    const { folder, path, source, mutation } = draw()
    const file = relative(root, path).replaceAll('\\', '/')
    const { line, before, after } = lineOf(source, mutation)
    if (equivalents.some((row) => row.file === file && row.before === before && row.after === after)) {
      equal++
      continue
    }
    const change = `${mutation.before} → ${mutation.replacement === '' ? '(nothing)' : mutation.replacement}`
    console.error(`${tried + 1} of ${count}: ${file}:${line}  ${change}`)
    const tests = runners.get(folder) ?? (await Tests.of(folder))
    runners.set(folder, tests)
    const passed = !(await tests.notice(path, mutation))
    tried++
    if (passed) console.log(`SURVIVED ${file}:${line}\n  - ${before}\n  + ${after}`)
    else {
      noticed++
      console.log(`noticed  ${file}:${line}  ${change}`)
    }
  }
  for (const each of runners.values()) await each.close()
  console.log(summary())
  return tried === noticed ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`mutate: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 2
}
