// Boots Debian's cloud kernel to the shell's prompt and powers it off, with retrap and with QEMU's TCG on one CPU, and
// compares the CPU time of the two processes (user and system, all threads) and the memory that retrap needs beside
// the guest's RAM. Both run the same kernel and initramfs, in turn; the best of each counts.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchLinux } from '../src/linux/debian.ts'
import { buildInitramfs } from '../src/linux/initramfs.ts'
import { runProgram } from '../test/support/processes.ts'

const MEMORY_MIB = 512
// As the retrap command runs it: src/main.ts says so to the shell.
const NODE_FLAGS = ['--max-semi-space-size=1']
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

/** @param args - how many times each is run (1) */
export async function run([rounds = '1']: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-boot-'))
  try {
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const initrd = join(folder, 'initrd.img')
    await writeFile(initrd, buildInitramfs(await readFile(busyboxPath)))
    const system = ['-kernel', kernelPath, '-initrd', initrd, '-append', 'console=ttyS0']
    const retrap = [...NODE_FLAGS, MAIN, 'run', ...system.map((word) => word.replace(/^-(?!-)/, '--'))]
    const tcg = ['-accel', 'tcg', '-smp', '1', '-nographic', '-no-reboot', ...system]

    const ours: Boot[] = []
    const theirs: Boot[] = []
    for (let round = 0; round < Number(rounds); round++) {
      ours.push(await boot(process.execPath, [...retrap, '--memory', `${MEMORY_MIB}M`, '--stats', 'json']))
      theirs.push(await boot('qemu-system-x86_64', [...tcg, '-m', `${MEMORY_MIB}`]))
    }
    const best = ours.reduce((a, b) => (b.cpuSeconds < a.cpuSeconds ? b : a))
    const peer = theirs.reduce((a, b) => (b.cpuSeconds < a.cpuSeconds ? b : a))
    const ratio = (best.cpuSeconds / peer.cpuSeconds).toFixed(2)
    console.log(
      `boot: ${ratio} x TCG (CPU time of a boot to the prompt and power-off, 1 CPU: ` +
        `${best.cpuSeconds.toFixed(1)} s against ${peer.cpuSeconds.toFixed(1)} s)`,
    )
    const { peakResidentBytes } = statistics(best).memory
    const peakMib = peakResidentBytes / 1024 ** 2
    console.log(
      `boot-memory: ${(peakMib / MEMORY_MIB).toFixed(2)} x guest RAM ` +
        `(at most ${peakMib.toFixed(0)} MiB resident, with ${MEMORY_MIB} MiB of guest RAM)`,
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Boot {
  readonly cpuSeconds: number
  readonly stderr: string
}

/** Boots to the prompt, powers off, and reads from bash what the process has used. */
async function boot(program: string, args: readonly string[]): Promise<Boot> {
  const timed = ['-c', 'TIMEFORMAT="CPU %U %S"; time "$@"', 'boot', program, ...args]
  const answers = [{ to: '/ # ', type: 'poweroff -f\n' }]
  const { code, stdout, stderr } = await runProgram('bash', timed, { answers, deadlineMs: 300_000 })
  const used = /^CPU ([\d.]+) ([\d.]+)$/m.exec(stderr)
  if (code !== 0 || used === null) throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return { cpuSeconds: Number(used[1]) + Number(used[2]), stderr }
}

function statistics(boot: Boot): { memory: { peakResidentBytes: number } } {
  const line = boot.stderr.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`no statistics in:\n${boot.stderr}`)
  return JSON.parse(line) as { memory: { peakResidentBytes: number } }
}
