// npm test: the whole gate. Types first, of all packages at once; then turbo builds them, package by package and cached. One run
// of vitest tests them, beside the checks of API reports, of tarballs, and of the workspace as a whole. Nothing stops at the
// first failure. The end says how long what has taken, and vitest's totals over all packages; a failing check that is not a
// test counts as one failure, and its name is printed. `.scripts/test/command-line.ts` has the options.
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import { checkBoundaries } from './boundaries.ts'
import { checkChangelogs, checkChangesets } from './changesets.ts'
import { provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { programsOfTests } from '../packages/tooling/src/programs-of-tests.ts'
import { writeDurations } from '../packages/tooling/src/run/durations.ts'
import type { FileResult, RunResults } from '../packages/tooling/src/run/results.ts'
import { checkExamples } from './examples.ts'
import { historyWarnings } from './history.ts'
import { checkHouse } from './house.ts'
import { checkManifests } from './manifests.ts'
import { checkNamedMutations } from './named-mutations.ts'
import { checkApi } from './package/api-reports.ts'
import { checkTarballs } from './package/tarballs.ts'
import { checkTypes } from './package/types.ts'
import { checkPlainEnglish } from './plain-english.ts'
import { checkReadmes } from './release/readme.ts'
import { checkReadmeTables } from './release/readme-tables.ts'
import { rehearse } from './release/rehearsal.ts'
import { type Plan, planOf, USAGE } from './test/command-line.ts'
import { budgetNote, durationsOf, LIMIT_MINUTES, printDurations, telling } from './test/durations.ts'
import { keepResults, keptResults, removeOld, resultKey, TURBO_CACHE } from './test/kept-results.ts'
import { runTests } from './test/run-tests.ts'
import { type Member, members, pnpmVersion, root } from './workspace.ts'

/** A run has one of so many examples, by the slice. */
const EXAMPLE_PARTS = 4
/** One of so many runs rehearses a release, by the slice: its parts are checked in each run, and each night rehearses it as a whole. */
const REHEARSAL_PARTS = 4

interface TaskSummary {
  readonly task: string
  readonly package: string
  readonly hash: string
  readonly execution?: { readonly exitCode: number | null }
}

/** What is printed at the end, and what .ci/run repeats. */
const failures: string[] = []

/** Runs one check of the whole workspace; its output appears only if it fails. */
async function check(name: string, command: string, ...args: string[]): Promise<void> {
  const started = performance.now()
  const { failed, message = '' } = await execa(command, args, {
    cwd: root,
    stdin: 'ignore',
    all: true,
    reject: false,
  })
  report(name, !failed, message, started)
}

/** Runs one of our own checks, which returns its problems. */
async function checkWith(name: string, find: () => string[] | Promise<string[]>): Promise<void> {
  const started = performance.now()
  let problems: string[]
  try {
    problems = await find()
  } catch (error) {
    problems = [String(error)]
  }
  report(name, problems.length === 0, problems.join('\n'), started)
}

function report(name: string, good: boolean, output: string, started: number): void {
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  if (good) return
  console.log(output.trimEnd())
  failures.push(name)
}

/** What turbo is started with. Turbo needs pnpm on PATH, which npx puts there. */
function turboCommand(args: readonly string[]): readonly [command: string, args: readonly string[]] {
  return ['npx', ['--yes', `--package=pnpm@${pnpmVersion()}`, '--', 'turbo', 'run', ...args]]
}

/** Builds packages, and names those where that has failed. */
async function build({ selected, everything, fresh }: Plan): Promise<void> {
  const started = performance.now()
  rmSync(join(root, '.turbo/runs'), { recursive: true, force: true })
  const [command, args] = turboCommand([
    'build',
    ...(everything ? [] : selected.map(({ manifest }) => `--filter=${manifest.name}`)),
    ...(fresh ? ['--force'] : []),
    '--continue=dependencies-successful',
    '--concurrency=2',
    '--summarize',
    '--output-logs=errors-only',
    '--ui=stream',
  ])
  // What turbo says of itself is no news unless something fails.
  const { failed, message = '' } = await execa(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    reject: false,
  })
  const [file] = globSync('.turbo/runs/*.json', { cwd: root })
  const done =
    file === undefined ? [] : (JSON.parse(readFileSync(join(root, file), 'utf8')) as { tasks: TaskSummary[] }).tasks
  const bad = done.filter(({ execution }) => execution !== undefined && execution.exitCode !== 0)
  report('build', !failed, message, started)
  if (bad.length > 0) failures.splice(-1, 1, ...bad.map(({ package: owner }) => `${owner}: build`))
}

/** What comes before all tests: one of them opens the site. */
async function checkAndBuild(plan: Plan): Promise<void> {
  if (checksWorkspace(plan)) await checkWith('types', () => checkTypes(plan.selected))
  await build(plan)
}

/** The key of each package's test results. */
function resultKeys({ selected, slice }: Plan): Map<Member, string> {
  const [command, args] = turboCommand([
    'test',
    ...selected.map(({ manifest }) => `--filter=${manifest.name}`),
    '--dry=json',
  ])
  const { stdout } = execaSync(command, args, { cwd: root })
  const { tasks } = JSON.parse(stdout) as { tasks: readonly TaskSummary[] }
  const hashes = new Map(tasks.filter(({ task }) => task === 'test').map((one) => [one.package, one.hash]))
  return new Map(
    selected.flatMap((member) => {
      const hash = hashes.get(member.manifest.name)
      return hash === undefined ? [] : [[member, resultKey(member, hash, slice)]]
    }),
  )
}

/** Tests packages; those that have passed before with the same sources on this machine are not tested again. */
async function test(plan: Plan): Promise<RunResults> {
  if (plan.files.length > 0) return runTests(plan.selected, plan.files)
  const keys = resultKeys(plan)
  const kept = new Map<Member, readonly FileResult[]>()
  for (const member of plan.fresh ? [] : plan.selected) {
    const results = keptResults(keys.get(member) ?? '')
    if (results !== undefined) kept.set(member, results)
  }
  if (kept.size > 0)
    console.log(
      `not tested again, because nothing has changed (--fresh tests all): ${[...kept.keys()].map(({ path }) => path).join(', ')}`,
    )
  const others = plan.selected.filter((member) => !kept.has(member))
  const results = await runTests(others, [], plan.shard)
  for (const member of others) {
    const own = results.files.filter((file) => file.path.startsWith(`${member.path}/`))
    const key = keys.get(member)
    if (key !== undefined && plan.shard === undefined && own.length > 0 && results.errors.length === 0)
      keepResults(key, own)
  }
  return { ...results, files: [...results.files, ...[...kept.values()].flat()] }
}

/** Whether a run checks more than tests: of several parts the first does. */
const checksWorkspace = ({ shard }: Plan): boolean => shard === undefined || shard.startsWith('1/')

/** The checks of what was built, and of the workspace. */
async function checkBuilt(plan: Plan, all: readonly Member[]): Promise<void> {
  if (!checksWorkspace(plan)) return
  await checkWith('API reports', () => checkApi(plan.selected))
  await checkWith('tarballs', () => checkTarballs(plan.selected))
  if (plan.everything) await checkWorkspace(all, plan)
}

/** The checks of the workspace as a whole. */
async function checkWorkspace(all: readonly Member[], { slice, long }: Plan): Promise<void> {
  await check('scripts type-check', 'tsc', '-p', '.scripts')
  await check('oxlint', 'oxlint', '--type-aware', '--deny-warnings')
  await check('oxfmt', 'oxfmt', '--check')
  await check('knip', 'knip', '--config', '.config/knip.json', '--no-progress', '--no-config-hints')
  await check('turbo boundaries', 'turbo', 'boundaries')
  await checkWith('who imports whom', () => checkBoundaries(all))
  await checkWith('manifests', () => checkManifests(all))
  await checkWith('changesets', () => [...checkChangesets(all), ...checkChangelogs(all)])
  for (const warning of historyWarnings()) console.log(`warning: commit ${warning}`)
  await checkWith('named mutations', () => checkNamedMutations())
  await checkWith('READMEs as a reader on npm meets them', () => checkReadmes(all))
  await checkWith('READMEs as the types have it', () => checkReadmeTables(all))
  await checkWith('plain English', () => checkPlainEnglish())
  await checkWith('the house and its budget', () => checkHouse())
  await checkWith('examples', () => checkExamples(all, (i) => long || (i + slice) % EXAMPLE_PARTS === 0))
  if (long || slice % REHEARSAL_PARTS === 0)
    await checkWith('a release, rehearsed on a registry of its own', () =>
      rehearse(all, 'short', Math.floor(slice / REHEARSAL_PARTS)),
    )
}

/** Prints each package's tests, and what was skipped and has failed. @returns the last line */
function printTotals({ selected, slice }: Plan, { files, errors }: RunResults): string {
  console.log('')
  let passed = 0
  const skipped: string[] = []
  const failed: string[] = errors.map((message) => `vitest: ${message}`)
  for (const { path } of selected) {
    const own = files.filter((file) => file.path.startsWith(`${path}/`))
    if (own.length === 0) continue
    const count = own.reduce((sum, file) => sum + file.passed, 0)
    const bad = own.flatMap((file) =>
      file.failed.map((name) => `${name}\n      again: npm test -- --slice ${slice} ${file.path}`),
    )
    const left = own.flatMap((file) => file.skipped)
    console.log(
      `${path.padEnd(24)} ${String(count).padStart(6)} passed ${String(bad.length).padStart(4)} failed ${String(left.length).padStart(4)} skipped`,
    )
    passed += count
    failed.push(...bad.map((name) => `${path}: ${name}`))
    skipped.push(...left.map((name) => `${path}: ${name}`))
  }
  failures.unshift(...failed)
  if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((name) => `  ${name}`).join('\n')}`)
  if (failures.length > 0) console.log(`\nfailed:\n${failures.map((name) => `  ${name}`).join('\n')}`)
  return `${passed} passed, ${failures.length} failed, ${skipped.length} skipped`
}

/** The programs that the tests of a run compare with: browsers and emulators are fetched for those that want them. */
function programsFor({ selected, everything, files }: Plan): { readonly programs?: readonly string[] } {
  if (everything) return {}
  const tests =
    files.length > 0 ? files : selected.flatMap(({ path }) => globSync(`${path}/test/**/*.test.ts`, { cwd: root }))
  return { programs: programsOfTests(tests.map((file) => join(root, file))) }
}

async function run(plan: Plan, all: readonly Member[]): Promise<number> {
  const started = performance.now()
  process.env['RETRAP_SLICE'] = String(plan.slice)
  if (plan.long) process.env['RETRAP_TEST_LONG'] = '1'
  process.env['TURBO_CACHE_DIR'] ??= TURBO_CACHE
  if (plan.shard !== undefined) process.env['RETRAP_EVERY_TEST'] = '1'
  console.log(plan.long ? 'all cases of all suites' : `slice ${plan.slice}`)
  removeOld()
  const checked = plan.files.length === 0
  // Programs that are not there yet take minutes, which are mostly the network's.
  await Promise.all([provideDebianPrograms(programsFor(plan)), checked ? checkAndBuild(plan) : undefined])
  const [results] = await Promise.all([test(plan), checked ? checkBuilt(plan, all) : undefined])
  printDurations(results.files, plan.selected)
  const last = printTotals(plan, results)
  const isUsual = plan.everything && !plan.long && plan.shard === undefined
  if (isUsual) {
    const note = budgetNote(results.files)
    if (note !== undefined) console.log(`\n${note}`)
    if (plan.keepDurations && failures.length === 0) writeDurations(root, durationsOf(telling(results.files)))
  }
  const seconds = (performance.now() - started) / 1000
  const over = isUsual && seconds > LIMIT_MINUTES * 60
  console.log(
    `\n${seconds.toFixed(0)} s${over ? `: npm test is to take ${LIMIT_MINUTES} minutes at most on two idle cores` : ''}`,
  )
  console.log(last)
  mkdirSync(join(root, 'node_modules/.retrap'), { recursive: true })
  writeFileSync(join(root, 'node_modules/.retrap/totals'), `${last}\n`)
  return failures.length > 0 ? 1 : 0
}

async function main(): Promise<number> {
  const all = members()
  let plan: Plan | undefined
  try {
    plan = planOf(process.argv.slice(2), all)
  } catch (error) {
    console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`)
    return 2
  }
  if (plan === undefined) {
    console.log(USAGE)
    return 0
  }
  if (plan.selected.length === 0) {
    console.log('nothing has changed')
    return 0
  }
  return run(plan, all)
}

process.exitCode = await main()
