// npm run -s mutate -- PACKAGE [--count N] [--seed S] [--file TEXT]
//
// Changes one token of a package's sources at a time (an operator, a number, a negation) and runs the package's tests
// that depend on the file, to the first failure. A change that no test notices is a survivor: a missing test, or a change
// that changes nothing. The latter are named with their reason in `.config/equivalent-mutations.json`, and another is
// drawn in their place. The exit code is 1 if there are survivors.
//
// No file is written: vitest reads the change from RETRAP_MUTATION (packages/tooling/src/vitest.ts).
import { spawn } from 'node:child_process'
import { globSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { lineOf, type Mutation, mutationsOf } from './mutations.ts'
import { members, root } from './workspace.ts'

/** A change that changes nothing, and why. */
interface Equivalent {
  readonly file: string
  readonly before: string
  readonly after: string
  readonly why: string
}

/** A test run that takes this many times as long as without a change has noticed it. */
const PATIENCE = 5
const LEAST_PATIENCE_MS = 60_000
const QUICK_MS = 2000

/** The part of vitest's report that matters here. */
interface Report {
  readonly testResults: readonly { readonly name: string; readonly startTime: number; readonly endTime: number }[]
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

/** How long the tests of each file took, by its path, the quickest first. */
type Durations = ReadonlyMap<string, number>

/** Runs vitest in a package. Resolves with its exit code; that of a run that takes too long is 124, as timeout(1) has it. */
function runVitest(
  folder: string,
  args: readonly string[],
  change: object | undefined,
  limitMs?: number,
): Promise<number> {
  const vitest = join(folder, 'node_modules/vitest/vitest.mjs')
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [vitest, ...args, '--run', '--bail=1'], {
      cwd: folder,
      env: { ...process.env, ...(change !== undefined && { RETRAP_MUTATION: JSON.stringify(change) }) },
      stdio: 'ignore',
    })
    const timer = limitMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), limitMs)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      resolve(code ?? 124)
    })
  })
}

/** Runs the tests that depend on a file as it is; undefined if they fail. */
async function baseline(folder: string, path: string): Promise<Durations | undefined> {
  // The reporter of the shared configuration (packages/tooling/src/vitest.ts).
  const report = join(folder, 'temp/vitest.json')
  rmSync(report, { force: true })
  const code = await runVitest(folder, ['related', path], undefined)
  if (code !== 0) return undefined
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
  const took = testResults.map(({ name, startTime, endTime }) => [name, endTime - startTime] as const)
  return new Map(took.toSorted((a, b) => a[1] - b[1]))
}

/** Whether a change makes a test fail. The quick test files run first: nearly all changes are noticed by one of them. */
async function isNoticed(folder: string, path: string, mutation: Mutation, durations: Durations): Promise<boolean> {
  const quick = [...durations].filter(([, milliseconds]) => milliseconds <= QUICK_MS).map(([name]) => name)
  const slow = [...durations.keys()].filter((name) => !quick.includes(name))
  for (const files of [quick, slow].filter(({ length }) => length > 0)) {
    const usual = files.reduce((sum, name) => sum + (durations.get(name) ?? 0), 0)
    const limitMs = Math.max(LEAST_PATIENCE_MS, PATIENCE * usual)
    // oxlint-disable-next-line no-await-in-loop -- the slow ones only where the quick ones notice nothing
    if ((await runVitest(folder, [...files, '--reporter=dot'], { file: path, ...mutation }, limitMs)) !== 0) return true
  }
  return false
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { count: { type: 'string' }, seed: { type: 'string' }, file: { type: 'string' } },
  })
  const [name] = positionals
  const member = members().find(({ path }) => path.endsWith(`/${name ?? ''}`))
  if (name === undefined || member === undefined) {
    console.error('mutate: give the name of a package, as its folder has it')
    return 2
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
  const count = Number(values.count ?? 20)
  await provideDebianPrograms()
  const equivalents = JSON.parse(
    readFileSync(join(root, '.config/equivalent-mutations.json'), 'utf8'),
  ) as readonly Equivalent[]
  const all = globSync('src/**/*.ts', { cwd: member.folder })
    .sort()
    .filter((file) => values.file === undefined || file.includes(values.file))
    .flatMap((file) => {
      const path = join(member.folder, file)
      const source = readFileSync(path, 'utf8')
      return mutationsOf(source).map((mutation) => ({ path, source, mutation }))
    })
  const random = generator(seed)
  const baselines = new Map<string, Durations>()
  let equal = 0
  let noticed = 0
  let tried = 0
  while (tried < count && all.length > 0) {
    const [{ path, source, mutation }] = all.splice(Math.floor(random() * all.length), 1) as [(typeof all)[number]]
    const file = relative(root, path).replaceAll('\\', '/')
    const { line, before, after } = lineOf(source, mutation)
    const known = equivalents.some((row) => row.file === file && row.before === before && row.after === after)
    if (known) {
      equal++
      continue
    }
    // oxlint-disable-next-line no-await-in-loop -- the machine runs one test run at a time
    const durations = baselines.get(path) ?? (await baseline(member.folder, path))
    if (durations === undefined) {
      console.error(`mutate: the tests that depend on ${file} fail without any change`)
      return 1
    }
    baselines.set(path, durations)
    // oxlint-disable-next-line no-await-in-loop -- the machine runs one test run at a time
    const passed = !(await isNoticed(member.folder, path, mutation, durations))
    tried++
    if (passed) console.log(`SURVIVED ${file}:${line}\n  - ${before}\n  + ${after}`)
    else {
      noticed++
      console.log(
        `noticed  ${file}:${line}  ${mutation.before} → ${mutation.replacement === '' ? '(nothing)' : mutation.replacement}`,
      )
    }
  }
  console.log(
    `mutate ${name}: ${tried} changes, ${noticed} noticed, ${tried - noticed} survived, ${equal} drawn that change nothing; --seed ${seed}`,
  )
  return tried === noticed ? 0 : 1
}

process.exitCode = await main()
