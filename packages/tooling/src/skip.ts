/** Skips tests that need a program or file of the host. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/** Harmless options for programs that do not know `--version`. */
const PROBES: Readonly<Record<string, string>> = {
  ...{ socat: '-V', mke2fs: '-V', debugfs: '-V', e2fsck: '-V' },
  ...{ iasl: '-v', dig: '-v', ip: '-V', gvnccapture: '--help', Xvfb: '-help', WebKitWebDriver: '--help' },
}

/**
 * Whether PATH has a program that runs. A program that is found and fails counts as missing, and this is printed: rustup's
 * `rustc` fails where no toolchain is installed for the user.
 */
export function hasProgram(name: string): boolean {
  if (!(process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)))) return false
  const { status, signal, error, stderr } = spawnSync(name, [PROBES[name] ?? '--version'], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (status === 0) return true
  const why = error?.message ?? `${signal ?? `exit code ${status}`}: ${stderr.split('\n', 1)[0]}`
  console.error(`${name} is on PATH but does not run, which counts as missing (${why})`)
  return false
}

/** Whether the kernel is a Linux that shows the open files of processes. A sandbox may have no /proc. */
export const hasProc: boolean = existsSync('/proc/self/fd')

/**
 * Returns a note for the name of a test that needs something: empty if available, so that only skipped tests mention
 * skipping.
 *
 * @param available - whether the test runs
 * @param lack - the reason, such as `nasm is not installed`
 */
export function skipNote(available: boolean, lack: string): string {
  return available ? '' : ` (skipped: ${lack})`
}

/**
 * Returns environment variables for a user without a writable cache folder, such as a service: tests then cache fetched
 * files in a temporary folder of the user.
 *
 * @param environment - with XDG_CACHE_HOME, as the XDG base directory specification has it
 */
export function cacheEnvironment(environment: NodeJS.ProcessEnv = process.env): { XDG_CACHE_HOME?: string } {
  let folder = environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache')
  while (!existsSync(folder)) folder = dirname(folder)
  try {
    accessSync(folder, constants.W_OK)
    if (statSync(folder).isDirectory()) return {}
  } catch {
    // The folder is another user's, or on a read-only file system.
  }
  return { XDG_CACHE_HOME: join(tmpdir(), `retrap-cache-${process.getuid?.() ?? 0}`) }
}
