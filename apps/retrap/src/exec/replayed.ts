import { EXEC_PORTS } from '../linux/exec-initramfs.ts'

/** Takes what a port of the guest's console puts out. */
export interface PortOutput {
  write(bytes: Uint8Array): unknown
}

/**
 * Says who gets what the guest of `retrap exec` sends by the ports of its console, in a replay.
 *
 * @param recorded - the command line that was recorded
 * @returns by number; undefined: it is of another command
 */
export function outputsOfExec(
  recorded: readonly string[],
  { stdout, stderr }: { readonly [name in 'stdout' | 'stderr']: PortOutput },
): readonly (PortOutput | undefined)[] | undefined {
  if (recorded[0] !== 'exec') return undefined
  const outputs: Partial<Record<string, PortOutput>> = { terminal: stdout, stdout, stderr }
  const names = Object.entries(EXEC_PORTS).toSorted(([, a], [, b]) => a - b)
  return names.map(([name]) => outputs[name])
}
