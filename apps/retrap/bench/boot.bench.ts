// Boots Debian's cloud kernel to the shell's prompt and powers it off, with retrap and with QEMU's TCG on one CPU, and
// compares the processor time of the two processes (user and system, all threads) from the kernel's first line to the
// prompt, and the memory that retrap needs beside the guest's RAM. Both run the same kernel, initramfs and command line,
// in turn, and QEMU has no devices but its board's and a serial port; the best of each counts. Ratios are speed against
// speed, and RAM against memory: more is better for retrap.
// @programs: qemu-system-x86_64
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processTime } from '@retrap/tooling/processor-time'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { runProgram } from '../test/support/processes.ts'

const MEMORY_MIB = 512
// As the retrap command runs it: src/main.ts says so to the shell.
const NODE_FLAGS = ['--max-semi-space-size=1']
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
/** The kernel prints from its first line on, through polled output to the serial port. */
const COMMAND_LINE = 'console=ttyS0 earlyprintk=serial,ttyS0,115200'
const FIRST_LINE = 'Linux version'
const PROMPT = '/ # '

/** @param args - how many times each is run (3) */
export async function run([rounds = '3']: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-boot-'))
  try {
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const initrd = join(folder, 'initrd.img')
    await writeFile(initrd, buildInitramfs(await readFile(busyboxPath)))
    const system = ['-kernel', kernelPath, '-initrd', initrd, '-append', COMMAND_LINE]
    const retrap = [...NODE_FLAGS, MAIN, 'run', ...system.map((word) => word.replace(/^-(?!-)/, '--'))]
    const board = ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot']
    const tcg = ['-accel', 'tcg', '-smp', '1', '-m', String(MEMORY_MIB), ...board, ...system]

    const ours: Boot[] = []
    const theirs: Boot[] = []
    for (let round = 0; round < Number(rounds); round++) {
      ours.push(await boot(process.execPath, [...retrap, '--memory', `${MEMORY_MIB}M`, '--stats', 'json']))
      theirs.push(await boot('qemu-system-x86_64', tcg))
    }
    const best = fastest(ours)
    const peer = fastest(theirs)
    console.log(
      `boot: ${(peer.kernel / best.kernel).toFixed(2)} x TCG (processor time from the kernel's first line to the prompt, ` +
        `1 CPU: ${best.kernel.toFixed(2)} s against ${peer.kernel.toFixed(2)} s)`,
    )
    console.log(
      `boot-before: ${(peer.before / best.before).toFixed(2)} x TCG (before that line; retrap compiles its interpreter and ` +
        `loads the kernel: ${best.before.toFixed(2)} s; QEMU starts, and SeaBIOS loads the kernel: ${peer.before.toFixed(2)} s)`,
    )
    const peakMib = residentBytes(best) / 1024 ** 2
    console.log(
      `boot-memory: ${(MEMORY_MIB / peakMib).toFixed(2)} x resident memory ` +
        `(${MEMORY_MIB} MiB of guest RAM; at most ${peakMib.toFixed(0)} MiB resident)`,
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Boot {
  /** Seconds of processor time before the kernel's first line. */
  readonly before: number
  /** The same from there to the prompt. */
  readonly kernel: number
  readonly stderr: string
}

const fastest = (boots: readonly Boot[]): Boot => boots.reduce((a, b) => (b.kernel < a.kernel ? b : a))

/** Boots to the prompt and powers off. */
async function boot(program: string, args: readonly string[]): Promise<Boot> {
  let before = NaN
  let prompt = NaN
  const { code, stdout, stderr } = await runProgram(program, args, {
    answers: [{ to: PROMPT, type: 'poweroff -f\n' }],
    deadlineMs: 300_000,
    onOutput: (output, pid) => {
      if (Number.isNaN(before) && output.includes(FIRST_LINE)) before = processTime(pid)
      if (Number.isNaN(prompt) && output.includes(PROMPT)) prompt = processTime(pid)
    },
  })
  if (code !== 0 || Number.isNaN(prompt)) {
    throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  }
  return { before, kernel: prompt - before, stderr }
}

function residentBytes({ stderr }: Boot): number {
  const line = stderr.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`no statistics in:\n${stderr}`)
  return (JSON.parse(line) as { memory: { peakResidentBytes: number } }).memory.peakResidentBytes
}
