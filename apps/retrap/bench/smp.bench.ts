// Two processes that compute, on a machine of two vCPUs in threads, against the same one after the other on one vCPU; two that send
// each other a byte through pipes on different vCPUs; and forks, with their shootdowns of translations. QEMU's MTTCG does the same
// in the same run, with the same kernel and initramfs. Times are the guest's, of /proc/uptime in steps of 10 ms. A ratio says how
// many times as fast two vCPUs are; more is better for retrap.
// @programs: qemu-system-x86_64
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { runProgram } from '../test/support/processes.ts'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const PROMPT = '/ # '

/** Shell functions: work, the time in hundredths of a second, and the time of what follows. */
const FUNCTIONS = [
  'dd if=/dev/zero of=/z bs=1M count=16 2>/dev/null',
  'w() { j=0; while [ $j -lt $1 ]; do sha256sum /z >/dev/null; j=$((j + 1)); done; }',
  'now() { read -r up rest </proc/uptime; echo ${up%.*}${up#*.}; }',
  't() { n=$1; shift; a=$(now); "$@"; b=$(now); echo "@ $n $((b - a))"; }',
  'two() { w $1 & w $1 & wait; }',
  'forks() { i=0; while [ $i -lt $1 ]; do (true | true); i=$((i + 1)); done; }',
  'bothforks() { forks $1 & forks $1 & wait; }',
]
const WORK = ['w 4', 't one w 12', 't two two 12', 't forks forks 300', 't both bothforks 300', 'poweroff -f']

/** @param args - how many times each is run (3) */
export async function run([rounds = '3']: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-smp-'))
  try {
    const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
    const initrd = join(folder, 'initrd.img')
    await writeFile(initrd, buildInitramfs(await readFile(busyboxPath)))
    const system = ['-kernel', kernelPath, '-initrd', initrd, '-append', 'console=ttyS0 quiet']
    const retrap = [MAIN, 'run', ...system.map((word) => word.replace(/^-(?!-)/, '--')), '--memory', '512M']
    const board = ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot', '-m', '512', ...system]
    const sides = [
      ['threads', process.execPath, [...retrap, '--cpus', '2', '--smp', 'threads']],
      ['turns', process.execPath, [...retrap, '--cpus', '2', '--smp', 'turns']],
      ['alone', process.execPath, [...retrap, '--cpus', '1']],
      ['MTTCG', 'qemu-system-x86_64', ['-accel', 'tcg,thread=multi', '-smp', '2', ...board]],
    ] as const
    const best = new Map<string, Times>()
    for (let round = 0; round < Number(rounds); round++) {
      for (const [name, program, args] of sides) {
        const times = await measure(program, args)
        const known = best.get(name) ?? times
        best.set(name, new Map([...times].map(([what, time]) => [what, Math.min(time, known.get(what) ?? Infinity)])))
      }
    }
    for (const [name, times] of best) {
      const of = (what: string): number => (times.get(what) ?? NaN) / 100
      const parallel = (2 * of('one')) / of('two')
      const forks = (2 * of('forks')) / of('both')
      console.log(
        `smp-${name}: ${parallel.toFixed(2)} x two that compute (one ${of('one').toFixed(2)} s, two at once ${of('two').toFixed(2)} s), ` +
          `${forks.toFixed(2)} x two that fork (${of('forks').toFixed(2)} s, ${of('both').toFixed(2)} s)`,
      )
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Hundredths of a second by what was done. */
type Times = ReadonlyMap<string, number>

async function measure(program: string, args: readonly string[]): Promise<Times> {
  const lines = [...FUNCTIONS, ...WORK]
  const { code, stdout, stderr } = await runProgram(program, args, {
    answers: lines.map((line) => ({ to: PROMPT, type: `${line}\n` })),
    deadlineMs: 600_000,
  })
  const times = new Map(
    [...stdout.matchAll(/^@ (\w+) (\d+)/gm)].map(([, what = '', time = '']) => [what, Number(time)] as const),
  )
  if (code !== 0 || times.size < 4) throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return times
}
