import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'

export interface FileResult {
  /** Path from the repository's root, with `/`. */
  readonly path: string
  readonly project: string
  /** Loading, set-up and tests. */
  readonly seconds: number
  readonly passed: number
  /** Full names of failed tests; if nothing could run, the reason. */
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
}

export interface RunResults {
  readonly files: readonly FileResult[]
  /** Errors outside all test files. */
  readonly errors: readonly string[]
}

/** File for the results of a vitest run, relative to the top. */
export const RESULTS_FILE = 'node_modules/.retrap/tests.json'

/** Writes {@link RESULTS_FILE} when a run has ended. */
export class ResultsReporter implements Reporter {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const results: RunResults = {
      files: modules.map((one) => resultOf(one, this.#root)),
      errors: unhandled.map(({ message }) => message),
    }
    const file = join(this.#root, RESULTS_FILE)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify(results))
  }
}

function resultOf(module: TestModule, root: string): FileResult {
  const named = (state: 'failed' | 'skipped' | 'pending'): string[] =>
    [...module.children.allTests(state)].map(({ fullName }) => fullName)
  const failed = named('failed')
  // A file that cannot even be loaded, and a hook that fails, have no failed test.
  if (failed.length === 0 && (module.state() === 'failed' || module.errors().length > 0))
    failed.push(`(outside its tests) ${module.errors()[0]?.message ?? ''}`)
  const diagnostic = module.diagnostic()
  const ms =
    diagnostic.environmentSetupDuration +
    diagnostic.prepareDuration +
    diagnostic.collectDuration +
    diagnostic.setupDuration +
    diagnostic.duration
  return {
    path: relative(root, module.moduleId).replaceAll('\\', '/'),
    project: module.project.name,
    seconds: ms / 1000,
    passed: [...module.children.allTests('passed')].length,
    failed: [...failed, ...named('pending')],
    skipped: named('skipped'),
  }
}
