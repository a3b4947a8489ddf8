// npm test [-- PACKAGE...]
//
// The whole gate. Turbo builds, type-checks, tests and checks API reports and tarballs, package by package and cached;
// then come the checks of the workspace as a whole. Nothing stops at the first failure. It ends with vitest's totals
// over all packages; a failing check that is not a test counts as one failure, and its name is printed.
// With package names (`npm test -- memory paging`) only turbo's tasks of these packages run.
import { spawn, spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { checkBoundaries } from './boundaries.ts'
import { checkChangelogs, checkChangesets } from './changesets.ts'
import { provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { checkExamples } from './examples.ts'
import { checkManifests } from './manifests.ts'
import { checkNamedMutations } from './named-mutations.ts'
import { checkReadmes } from './release/readme.ts'
import { rehearse } from './release/rehearsal.ts'
import { type Member, has, members, pnpmVersion, root } from './workspace.ts'

/** Tasks of a turbo run at a time: packages with one vitest worker each, or one package with two. The longest comes beside. */
const CONCURRENCY = 2
const TASKS = ['build', 'typecheck', 'test', 'api:check', 'package:check']
/**
 * The package whose tests take longest. Turbo would begin with it when it is done with all others, and one processor would
 * have nothing to do at the end: a run of its own begins with it at once.
 */
const LONGEST = 'retrap'

interface TaskSummary {
  readonly task: string
  readonly package: string
  readonly execution?: { readonly exitCode: number | null; readonly startTime: number; readonly endTime: number }
}

interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

interface Totals {
  passed: number
  failed: number
  skipped: number
}

/** What is printed at the end, and what .ci/run repeats. */
const failures: string[] = []
const skips: string[] = []

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, VITEST_MAX_WORKERS: process.argv.length === 3 ? '2' : '1' }
}

/** Runs one check of the whole workspace; its output appears only if it fails. */
function check(name: string, command: string, ...args: string[]): void {
  const started = performance.now()
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: environment(),
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  })
  report(
    name,
    result.status === 0,
    `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`,
    started,
  )
}

/** Runs one of our own checks, which returns its problems. */
async function checkWith(name: string, find: () => string[] | Promise<string[]>): Promise<void> {
  const started = performance.now()
  const problems = await find()
  report(name, problems.length === 0, problems.join('\n'), started)
}

function report(name: string, good: boolean, output: string, started: number): void {
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  if (good) return
  console.log(output.trimEnd())
  failures.push(name)
}

/**
 * Runs turbo's tasks and returns them with their exit codes. Turbo needs pnpm on PATH, which npx puts there.
 *
 * @param meanwhile - done when all is built, while the longest tests may still run
 */
async function turbo(
  selected: readonly Member[],
  everything: boolean,
  meanwhile: () => Promise<void>,
): Promise<TaskSummary[]> {
  for (const { folder } of selected) rmSync(join(folder, 'temp/vitest.json'), { force: true })
  rmSync(join(root, '.turbo/runs'), { recursive: true, force: true })
  if (!everything) {
    await runTurbo([...TASKS, ...selected.map(({ manifest }) => `--filter=${manifest.name}`)], CONCURRENCY)
    return summaries(1)
  }
  // Before all tests: one of them opens the site. The other runs find it in turbo's cache.
  await runTurbo(['build'], CONCURRENCY)
  const longest = runTurbo(['test', `--filter=${LONGEST}`], 1)
  await runTurbo([...TASKS, `--filter=!${LONGEST}`], CONCURRENCY)
  const rest = TASKS.filter((task) => task !== 'test')
  await runTurbo([...rest, `--filter=${LONGEST}`], CONCURRENCY)
  await meanwhile()
  await longest
  return summaries(4)
}

/** Runs turbo, and resolves when it has ended, whatever the end. */
async function runTurbo(args: readonly string[], concurrency: number): Promise<void> {
  const options = [
    '--continue=dependencies-successful',
    `--concurrency=${concurrency}`,
    '--summarize',
    '--output-logs=errors-only',
    '--ui=stream',
  ]
  const npx = ['--yes', `--package=pnpm@${pnpmVersion()}`, '--', 'turbo', 'run', ...args, ...options]
  const child = spawn('npx', npx, {
    cwd: root,
    env: environment(),
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  })
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(`${signal ?? `exit code ${code}`}`))
  })
  ends.push(await ended)
}

/** How each run of turbo has ended. */
const ends: string[] = []

/** The tasks of so many runs of turbo. */
function summaries(runs: number): TaskSummary[] {
  const files = globSync('.turbo/runs/*.json', { cwd: root })
  if (files.length !== runs) failures.push(`turbo run (${ends.join(', ')}): ${files.length} of ${runs} have a summary`)
  return files.flatMap((file) => (JSON.parse(readFileSync(join(root, file), 'utf8')) as { tasks: TaskSummary[] }).tasks)
}

/** Adds one package's vitest report to the totals. */
function addTests(member: Member, task: TaskSummary | undefined, totals: Totals): string {
  const { folder, manifest } = member
  if (manifest.scripts?.['test'] === undefined) return ''
  if (!has(folder, 'temp/vitest.json')) {
    failures.push(`${manifest.name}: vitest gave no result`)
    return 'no result'
  }
  const result = JSON.parse(readFileSync(join(folder, 'temp/vitest.json'), 'utf8')) as VitestReport
  let failed = result.numFailedTests
  for (const file of result.testResults) {
    const bad = file.assertionResults.filter(({ status }) => status === 'failed')
    for (const { fullName } of bad) failures.push(`${manifest.name}: ${fullName}`)
    // A file that cannot even be loaded has no tests to count.
    if (file.status === 'failed' && bad.length === 0) {
      failures.push(`${manifest.name}: ${basename(file.name)} failed outside its tests`)
      failed++
    }
    const left = file.assertionResults.filter(({ status }) => status !== 'failed' && status !== 'passed')
    for (const { fullName } of left) skips.push(`${manifest.name}: ${fullName}`)
  }
  if (failed === 0 && task?.execution?.exitCode !== 0) {
    failures.push(`${manifest.name}: vitest ended with exit code ${task?.execution?.exitCode}`)
    failed = 1
  }
  const skipped = result.numPendingTests + result.numTodoTests
  totals.passed += result.numPassedTests
  totals.skipped += skipped
  return `${String(result.numPassedTests).padStart(6)} passed ${String(failed).padStart(4)} failed ${String(skipped).padStart(4)} skipped`
}

/** The checks of the workspace as a whole. */
async function checkWorkspace(all: readonly Member[]): Promise<void> {
  check('scripts type-check', 'tsc', '-p', '.scripts')
  check('oxlint', 'oxlint', '--type-aware', '--deny-warnings')
  check('oxfmt', 'oxfmt', '--check')
  check('knip', 'knip', '--config', '.config/knip.json', '--no-progress', '--no-config-hints')
  check('turbo boundaries', 'turbo', 'boundaries')
  await checkWith('who imports whom', () => checkBoundaries(all))
  await checkWith('manifests', () => checkManifests(all))
  await checkWith('changesets', () => [...checkChangesets(all), ...checkChangelogs(all)])
  await checkWith('named mutations', () => checkNamedMutations())
  await checkWith('READMEs as a reader on npm meets them', () => checkReadmes(all))
  await checkWith('examples', () => checkExamples(all))
  await checkWith('a release, rehearsed on a registry of its own', () => rehearse(all, 'short'))
}

async function main(): Promise<number> {
  const started = performance.now()
  const names = process.argv.slice(2)
  const all = members()
  const unknown = names.filter((name) => !all.some((member) => basename(member.path) === name))
  if (unknown.length > 0) {
    console.error(
      `no package named ${unknown.join(', ')}; there are ${all.map(({ path }) => basename(path)).join(', ')}`,
    )
    return 2
  }
  const everything = names.length === 0
  const selected = everything ? all : all.filter(({ path }) => names.includes(basename(path)))

  await provideDebianPrograms()
  const tasks = await turbo(selected, everything, () => checkWorkspace(all))
  for (const { task, package: owner, execution } of tasks) {
    if (task !== 'test' && TASKS.includes(task) && execution !== undefined && execution.exitCode !== 0)
      failures.push(`${owner}: ${task}`)
  }

  console.log('')
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 }
  for (const member of selected) {
    const task = tasks.find((one) => one.task === 'test' && one.package === member.manifest.name)
    const seconds =
      task?.execution === undefined
        ? ''
        : ` ${((task.execution.endTime - task.execution.startTime) / 1000).toFixed(1)} s`
    console.log(`${member.path.padEnd(24)} ${addTests(member, task, totals)}${seconds}`)
  }
  totals.failed = failures.length
  if (skips.length > 0) console.log(`\nskipped:\n${skips.map((name) => `  ${name}`).join('\n')}`)
  if (failures.length > 0) console.log(`\nfailed:\n${failures.map((name) => `  ${name}`).join('\n')}`)
  console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s`)
  const last = `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`
  console.log(last)
  mkdirSync(join(root, 'node_modules/.retrap'), { recursive: true })
  writeFileSync(join(root, 'node_modules/.retrap/totals'), `${last}\n`)
  return totals.failed > 0 ? 1 : 0
}

process.exitCode = await main()
