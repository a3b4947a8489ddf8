// The configuration of vitest for tests of several packages in one run (`npm test`): each package is a project, or two, as its
// own vitest.config.ts says. RETRAP_TEST_FOLDERS names the packages, as paths from the top; without it all of them run. Where
// guest code runs, a part of the test files runs once more with compiled code.
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration, type ViteUserConfig } from 'vitest/config'
import { readDurations } from './durations.ts'
import { LongestFirst } from './longest-first.ts'
import { ResultsReporter } from './results.ts'
import { filesInOtherRuns, inTurn } from './turns.ts'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))
/** Test files at a time, over all packages. */
const WORKERS = 2

/** The packages whose tests run guest code in one of two modes: interpreted, or compiled (RETRAP_TEST_JIT). */
const COMPILED = ['x86-cpu', 'hvm', 'xen', 'vapic', 'machine'].map((name) => `packages/${name}`)
/** One of this many test files of these packages runs in both modes. A run with everything compiled takes all files. */
const COMPILED_PARTS = 48

/**
 * Returns a package's projects: its own configuration, or the projects that it lists, with the package's folder and name.
 * All share one root, so that vitest transforms each source once for all.
 */
async function projectsOf(path: string): Promise<TestProjectInlineConfiguration[]> {
  const { default: config } = (await import(pathToFileURL(join(ROOT, path, 'vitest.config.ts')).href)) as {
    default: ViteUserConfig
  }
  const { projects = [{ test: {} }], reporters: _reporters, ...test } = config.test ?? {}
  const within = (patterns: readonly string[] = []): string[] =>
    patterns.map((pattern) => (pattern.startsWith('**') ? pattern : `${path}/${pattern}`))
  const others = filesInOtherRuns(ROOT, path)
  return (projects as TestProjectInlineConfiguration[]).map((project) => {
    const { name, include, exclude, ...own } = { ...test, ...project.test }
    return {
      ...config,
      root: ROOT,
      test: {
        ...own,
        include: within(include),
        exclude: within([...(exclude ?? []), ...others]),
        name: name === undefined ? path : `${path} ${name as string}`,
      },
    }
  })
}

/** A part of a package's test files once more, with all guest code compiled that is executed twice. */
async function compiledProjectOf(path: string): Promise<TestProjectInlineConfiguration> {
  const [project] = await projectsOf(path)
  const include = compiled.filter((file) => file.startsWith(`${path}/`))
  return {
    ...project,
    test: {
      ...project?.test,
      name: `${path} compiled`,
      isolate: true,
      include,
      exclude: [],
      env: { RETRAP_TEST_JIT: '1' },
    },
  }
}

const named = process.env['RETRAP_TEST_FOLDERS']
const paths =
  named === undefined
    ? globSync('{packages,apps}/*', { cwd: ROOT }).filter((path) => existsSync(join(ROOT, path, 'vitest.config.ts')))
    : named.split(',')

const isLong = process.env['RETRAP_TEST_LONG'] === '1' || process.env['RETRAP_TEST_JIT'] !== undefined
const guests = globSync(`{${COMPILED.join()}}/test/**/*.test.ts`, { cwd: ROOT }).map((path) =>
  path.replaceAll('\\', '/'),
)
const seconds = readDurations(ROOT)
const compiled = inTurn(
  guests.toSorted().map((path) => [path, seconds[path] ?? 0]),
  () => 1 / COMPILED_PARTS,
)
const runsTwice = (path: string): boolean => COMPILED.includes(path) && !isLong

export default defineConfig({
  root: ROOT,
  test: {
    projects: [
      ...(await Promise.all(paths.map(projectsOf))).flat(),
      ...(await Promise.all(paths.filter(runsTwice).map(compiledProjectOf))),
    ],
    maxWorkers: WORKERS,
    sequence: { sequencer: LongestFirst },
    reporters: [['default', { summary: false }], new ResultsReporter(ROOT)],
    slowTestThreshold: 60_000,
    passWithNoTests: true,
  },
})
