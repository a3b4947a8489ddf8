import { execFileSync, spawnSync } from 'node:child_process'
import { hasProgram } from '@retrap/tooling/skip'

/** Whether Debian's qemu-utils are there. */
export const hasQemuImg: boolean = hasProgram('qemu-img')

/** Runs qemu-img. @returns what it prints @throws with what it prints */
export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** What qemu-img says about the consistency of an image. */
export interface QemuCheck {
  readonly corruptions: number
  readonly leaks: number
}

export function qemuCheck(path: string): QemuCheck {
  const run = spawnSync('qemu-img', ['check', '--output', 'json', '-f', 'qcow2', path], { encoding: 'utf8' })
  // 0: whole; 2: corruptions; 3: leaks.
  if (run.status !== 0 && run.status !== 2 && run.status !== 3) throw new Error(`qemu-img check: ${run.stderr}`)
  const said = JSON.parse(run.stdout) as { corruptions?: number; leaks?: number }
  return { corruptions: said.corruptions ?? 0, leaks: said.leaks ?? 0 }
}

/** Runs commands of qemu-io on an image, one after the other. */
export function qemuIo(path: string, ...commands: readonly string[]): string {
  const args = ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), path]
  const run = spawnSync('qemu-io', args, { encoding: 'utf8' })
  if (run.status !== 0 || /failed|error/i.test(run.stdout + run.stderr)) throw new Error(run.stdout + run.stderr)
  return run.stdout
}
