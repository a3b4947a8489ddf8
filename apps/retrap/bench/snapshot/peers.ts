// The guest of the benches of snapshots and forks, and how each emulator's figures are got.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildInitramfs, type GuestAgent } from '@retrap/linux-guest/linux/initramfs'
import { runProgram } from '../../test/support/processes.ts'
import { fetchI386, NODE_FLAGS } from '../jit/peers.ts'

export const DEADLINE_MS = 300_000
export const QEMU = 'qemu-system-i386'

/** What an emulator took, in milliseconds, and the size of what it saved. */
export interface Figures {
  /** For how long the guest stood still, where that is less than the whole. */
  readonly pause?: readonly number[]
  readonly save: readonly number[]
  readonly restore: readonly number[]
  /** To put the machine back that was saved, where that is another thing. */
  readonly back?: readonly number[]
  readonly bytes: number
  /** To compress and write it, where that is apart. */
  readonly write?: number
  /** To boot on deterministic time, and to do so recorded. */
  readonly boots?: { readonly plain: readonly number[]; readonly recorded: readonly number[] }
}

/** A Linux guest that waits at its prompt. */
export interface LinuxGuest {
  readonly kernel: string
  readonly initrd: string
  readonly mebibytes: number
  readonly commandLine: string
  readonly prompt: string
}

/**
 * Debian's 32-bit kernel with busybox, which all of the emulators run.
 *
 * @param folder - where the initramfs is made
 * @param agent - is in it, and is started
 */
export async function linuxGuest(folder: string, agent?: GuestAgent): Promise<LinuxGuest> {
  const { kernel, busybox } = await fetchI386()
  const initrd = join(folder, agent === undefined ? 'initrd.img' : 'initrd-agent.img')
  await writeFile(initrd, buildInitramfs(await readFile(busybox), [], agent === undefined ? {} : { agent }))
  const commandLine = 'console=ttyS0 quiet mitigations=off'
  return { kernel, initrd, mebibytes: 256, commandLine, prompt: '/ # \u001b[6n' }
}

/** A guest as arguments of the programs of this folder. */
export const argumentsOf = ({ kernel, initrd, mebibytes, commandLine, prompt }: LinuxGuest): string[] => [
  kernel,
  initrd,
  String(mebibytes),
  commandLine,
  prompt,
]

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

/** Runs a program that prints its figures as JSON. @param flags - of Node, beside the usual ones */
export async function figuresOf<T = Figures>(
  program: string,
  args: readonly string[],
  flags: readonly string[] = [],
): Promise<T> {
  const command = [...NODE_FLAGS, ...flags, program, ...args]
  const { code, stdout, stderr } = await runProgram(process.execPath, command, { deadlineMs: DEADLINE_MS })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  if (code !== 0 || !last.startsWith('{'))
    throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return JSON.parse(last) as T
}
