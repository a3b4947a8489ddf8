// One run of vitest over the tests of many packages.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { RESULTS_FILE, type RunResults } from '../../packages/tooling/src/run/results.ts'
import { type Member, root } from '../workspace.ts'

const TOOLING = join(root, 'packages/tooling')

/**
 * Runs the tests of packages, two files at a time. Its output goes to the terminal.
 *
 * @param files - test files, as paths from the top; none stands for all
 * @param shard - the part of them that is run, as vitest takes it: `2/6`
 */
export async function runTests(
  selected: readonly Member[],
  files: readonly string[],
  shard?: string,
): Promise<RunResults> {
  const folders = selected.filter(({ manifest }) => manifest.scripts?.['test'] !== undefined).map(({ path }) => path)
  if (folders.length === 0) return { files: [], errors: [] }
  rmSync(join(root, RESULTS_FILE), { force: true })
  const vitest = join(TOOLING, 'node_modules/vitest/vitest.mjs')
  const config = join(TOOLING, 'src/run/vitest.config.ts')
  const args = ['run', '--config', config, '--configLoader', 'native']
  if (shard !== undefined) args.push(`--shard=${shard}`)
  const { exitCode, signal } = await execa(
    process.execPath,
    [vitest, ...args, ...files.map((file) => join(root, file))],
    {
      cwd: root,
      env: { RETRAP_TEST_FOLDERS: folders.join(',') },
      stdio: ['ignore', 'inherit', 'inherit'],
      reject: false,
    },
  )
  const end = signal ?? `exit code ${exitCode}`
  const written = join(root, RESULTS_FILE)
  if (!existsSync(written)) return { files: [], errors: [`vitest gave no results (${end})`] }
  const results = JSON.parse(readFileSync(written, 'utf8')) as RunResults
  const isGood = results.errors.length === 0 && results.files.every(({ failed }) => failed.length === 0)
  return isGood && end !== 'exit code 0' ? { ...results, errors: [`vitest ended with ${end}`] } : results
}
