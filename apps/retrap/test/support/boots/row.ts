import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runRetrap } from '../processes.ts'

/** A system to boot: a row of the soak `boots`. */
export interface BootRow {
  readonly name: string
  /**
   * Boots it.
   *
   * @param scratch - a folder of its own
   * @param shared - one for what rows have in common
   * @returns what was wrong
   */
  run(scratch: string, shared: string): Promise<string | void>
}

export const DEADLINE_MS = 900_000

/** Ctrl-A p. */
const POWER_BUTTON = '\u0001p'

/**
 * Boots a Debian with GRUB and systemd. A user logs in, writes a file, and presses the power button; the file system must be in order,
 * and the file be there.
 *
 * @param options - of `retrap run`
 * @param root - image of the file system, as its tools take it
 * @param name - that `uname -s` or `uname -m` says
 */
export async function bootDebian(
  options: readonly string[],
  { root, scratch, name }: Record<'root' | 'scratch', string> & { readonly name: 'Linux' | 'aarch64' },
): Promise<string | void> {
  const written = `echo $(uname -${name === 'Linux' ? 's' : 'm'}) $((6 * 7)) > /root/written`
  const { code, stdout } = await runRetrap(['run', '--memory', '1G', ...options], {
    answers: [
      { to: 'login: ', type: 'root\n' },
      { to: 'Password: ', type: 'retrap\n' },
      { to: '# ', type: `${written}; systemctl is-system-running --wait; echo state-$((6 * 7))\n` },
      { to: 'state-42', type: 'systemctl --failed --no-pager; echo button-$((6 * 7))\n' },
      { to: 'button-42', type: POWER_BUTTON },
    ],
    deadlineMs: DEADLINE_MS,
  })
  if (code !== 0) return `it ended with ${code}:\n${stdout.slice(-3000)}`
  if (!stdout.includes('GRUB starts Linux')) return `GRUB said nothing:\n${stdout.slice(0, 2000)}`
  execFileSync('e2fsck', ['-fn', root], { stdio: 'pipe' })
  const out = join(scratch, 'written')
  execFileSync('debugfs', ['-R', `dump /root/written ${out}`, root], { stdio: 'pipe' })
  const found = readFileSync(out, 'utf8')
  if (found !== `${name} 42\n`) return `the file holds '${found}'`
}
