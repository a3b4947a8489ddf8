import { EXEC_PORTS } from '../linux/exec-initramfs.ts'
import type { RecordingSettings } from '../recording/session-recording.ts'

/**
 * How a run of `retrap exec` is replayed.
 *
 * @param recorded - the command line that was recorded
 * @returns the command line of a session with its machine, and who gets the program's outputs; undefined: it is of another command
 */
export function replayedExec(
  recorded: readonly string[],
  { stdout, stderr }: { readonly [name in 'stdout' | 'stderr']: { write(bytes: Uint8Array): unknown } },
): (Pick<RecordingSettings, 'ports'> & { readonly arguments: readonly string[] }) | undefined {
  if (recorded[0] !== 'exec') return undefined
  const outputs: Partial<Record<string, typeof stdout>> = { terminal: stdout, stdout, stderr }
  const names = Object.entries(EXEC_PORTS).toSorted(([, a], [, b]) => a - b)
  // The kernel's own lines are none of the program's outputs.
  return { arguments: ['--serial', 'none'], ports: names.map(([name]) => outputs[name]) }
}
