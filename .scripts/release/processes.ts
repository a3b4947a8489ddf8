// Child processes of the rehearsal: two at a time, and with no way to any host but this one.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { execa } from 'execa'
import { pnpmVersion } from '../workspace.ts'

/** What a process printed, and if it failed, how, with all that it printed. */
export interface Ended {
  readonly failed: boolean
  readonly stdout: string
  readonly message?: string | undefined
}

/** Starts a program and resolves when it has ended; it is killed after `timeoutMs`. */
export function run(
  name: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string | undefined>> = {},
  timeoutMs = 180_000,
): Promise<Ended> {
  return execa(name, args, {
    cwd,
    env,
    stdin: 'ignore',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    reject: false,
  })
}

/** Returns a line with everything that a failed process printed; nothing if it ended well. */
export function problemOf(what: string, { failed, message }: Ended): string[] {
  return failed ? [`${what}: ${message}`] : []
}

/** Runs jobs, two at a time, and returns the problems of all in the order of the jobs. */
export async function inPairs(jobs: readonly (() => Promise<string[]>)[]): Promise<string[]> {
  const results: string[][] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < jobs.length) {
      const index = next++
      results[index] = await (jobs[index] as () => Promise<string[]>)()
    }
  }
  await Promise.all([work(), work()])
  return results.flat()
}

/**
 * Returns the folder that has the pinned pnpm's program. npx fetches it once; it need not be installed.
 *
 * @throws Error where npx cannot have it
 */
function pnpmFolder(): string {
  // One line: a shell does not escape arguments that are given apart (Node's DEP0190).
  const npx = `npx --yes --package=pnpm@${pnpmVersion()} -- node -p "process.env.PATH"`
  const { status, stdout, stderr } = spawnSync(npx, { encoding: 'utf8', shell: true })
  const program = process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm'
  const found = stdout
    .trim()
    .split(delimiter)
    .find((folder) => existsSync(join(folder, program)))
  if (status !== 0 || found === undefined) throw new Error(`npx does not provide pnpm: ${stderr}`)
  return found
}

/**
 * The environment of a stranger: a registry, an npm cache and a pnpm store that begin empty, and a proxy that nobody
 * serves, so that whatever asks another host fails.
 */
export function strangerEnvironment(folder: string, userconfig: string): Record<string, string> {
  return {
    PATH: [pnpmFolder(), process.env['PATH'] ?? ''].join(delimiter),
    npm_config_userconfig: userconfig,
    npm_config_cache: `${folder}/npm-cache`,
    npm_config_update_notifier: 'false',
    npm_config_fund: 'false',
    pnpm_config_store_dir: `${folder}/pnpm-store`,
    pnpm_config_cache_dir: `${folder}/pnpm-cache`,
    // A package finds what its manifest names, and nothing that lies there by chance.
    pnpm_config_hoist: 'false',
    // The versions are seconds old.
    pnpm_config_minimum_release_age: '0',
    ...noOtherHost,
  }
}

/** Sends traffic to every host but this one to a port where nothing listens. */
export const noOtherHost: Readonly<Record<string, string>> = {
  http_proxy: 'http://127.0.0.1:9',
  https_proxy: 'http://127.0.0.1:9',
  HTTP_PROXY: 'http://127.0.0.1:9',
  HTTPS_PROXY: 'http://127.0.0.1:9',
  no_proxy: '127.0.0.1,localhost',
  NO_PROXY: '127.0.0.1,localhost',
}
