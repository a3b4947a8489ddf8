import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defaultServerConditions } from 'vite'
import { defaultExclude, defineConfig, type ViteUserConfig } from 'vitest/config'
import { PATIENCE_MS } from './patience.ts'
import { filesInOtherRuns } from './run/turns.ts'
import { cacheEnvironment } from './skip.ts'

/** A change to one file that `npm run -s mutate` tries (.scripts/mutate.ts). */
interface Mutation {
  readonly file: string
  readonly start: number
  readonly end: number
  readonly replacement: string
}

/** Makes the change that RETRAP_MUTATION names, in the text of the file that is read. */
function mutate(text: string): NonNullable<ViteUserConfig['plugins']>[number] {
  const { file, start, end, replacement } = JSON.parse(text) as Mutation
  const isIt = (id: string): boolean => id.split('?')[0] === file
  return {
    name: 'retrap:mutation',
    enforce: 'pre',
    transform(code, id) {
      return isIt(id) ? code.slice(0, start) + replacement + code.slice(end) : undefined
    },
    // The key of vitest's cache on disk is the text of the file, which does not have the change.
    configureVitest({ defineCacheKeyGenerator }) {
      defineCacheKeyGenerator(({ id }) => (isIt(id) ? false : undefined))
    },
  }
}

/** The module that replaces `fast-check`. */
const FAST_CHECK = fileURLToPath(new URL('./fast-check.ts', import.meta.url))

/** Resolves `fast-check` to a module that draws the cases of the slice. */
const seeded: NonNullable<ViteUserConfig['plugins']>[number] = {
  name: 'retrap:fast-check',
  enforce: 'pre',
  resolveId(source, importer) {
    return source === 'fast-check' && importer !== FAST_CHECK ? FAST_CHECK : undefined
  },
}

const mutation = process.env['RETRAP_MUTATION']

const INCLUDE = ['test/**/*.test.ts']

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** The package's folder if it is tested by itself; run/vitest.config.ts covers many packages. */
const FOLDER = relative(ROOT, process.cwd()).replaceAll('\\', '/')
const EXCLUDE = [...defaultExclude, ...filesInOtherRuns(ROOT, FOLDER)]

// The configuration shared by every package, whose vitest.config.ts re-exports it.
const config: ViteUserConfig = defineConfig({
  plugins: mutation === undefined ? [seeded] : [seeded, mutate(mutation)],
  // Other packages resolve to their sources, so that tests need no build.
  ssr: { resolve: { conditions: ['retrap-source', ...defaultServerConditions] } },
  test: {
    include: INCLUDE,
    exclude: EXCLUDE,
    maxWorkers: 2,
    env: { ...cacheEnvironment() },
    // V8 13.6 frees the code between Wasm and an imported function twice, now and then, where several threads of a process
    // compile it after its 1000th call ("Check failed: jit_page.has_value()", https://github.com/nodejs/node/issues/64500).
    // Node takes types out of sources with a Wasm program, so each Worker that is started from a source makes such calls.
    execArgv: ['--wasm-wrapper-tiering-budget=1000000000'],
    // A hung test is to be found, not a slow machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Shorter than the usual limit of a test: the last value seen is shown.
    expect: { poll: { timeout: PATIENCE_MS, interval: 100 } },
    // .scripts/test.mjs adds these up over all packages.
    reporters: ['default', ['json', { outputFile: 'temp/vitest.json' }]],
    passWithNoTests: true,
  },
})
export default config

/**
 * Configuration for packages whose test files do not change shared state: all files run in one process, which loads the
 * sources once. Not for packages in which a test file imports another one, or modifies a class.
 */
export const together: ViteUserConfig = { ...config, test: { ...config.test, isolate: false } }

/**
 * Returns that configuration with a few exceptions.
 *
 * @param alone - test files, as paths in the package's folder, that need their own process: a file that imports another test
 * file, replaces a module, or sets values that modules read when they are loaded
 */
export function togetherBut(...alone: readonly [string, ...string[]]): ViteUserConfig {
  // The includes of a project would be added to the includes of all.
  const { include: _, ...test } = config.test ?? {}
  return {
    ...config,
    test: {
      ...test,
      projects: [
        {
          extends: true,
          test: { name: 'together', isolate: false, include: INCLUDE, exclude: [...EXCLUDE, ...alone] },
        },
        { extends: true, test: { name: 'alone', include: [...alone] } },
      ],
    },
  }
}

/** Configuration with a folder for files that tests make once: `@retrap/tooling/made-once`. */
export const withMadeOnce: ViteUserConfig = {
  ...config,
  test: { ...config.test, globalSetup: [fileURLToPath(new URL('./run-folder.ts', import.meta.url))] },
}
