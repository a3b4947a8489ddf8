/** Tests that run only where the host has something. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Whether PATH has a program. */
export const hasProgram = (name: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)))

/**
 * Returns what to add to the name of a test that runs only where something is available: nothing where it runs, so that
 * a name that speaks of skipping is of a test that was skipped.
 *
 * @param available - whether the test runs
 * @param lack - why it does not, such as `nasm is not installed`
 */
export function skipNote(available: boolean, lack: string): string {
  return available ? '' : ` (skipped: ${lack})`
}
