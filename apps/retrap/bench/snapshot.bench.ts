// Saves a Linux guest that waits at its prompt, and goes on with it: retrap's `pc.save` and a machine made with the
// snapshot, v86's `save_state` and `restore_state`, QEMU's `savevm` and `loadvm`. All three run the same 32-bit kernel and
// initramfs with the same RAM. Times are the host's, from the call to its end. The guests of the others stand still meanwhile;
// retrap's does so for `pause`, and runs while the rest is saved. A restore of retrap ends with its first instruction:
// `restore` makes a machine, and `back` puts the one back that was saved, after a second, as the others do. The median of
// several counts. Ratios are their time by ours, and their bytes by ours: more is better for retrap. QEMU writes to a qcow2
// image in the page cache; the others keep the state in memory. Last, what a recording costs: boots on deterministic time, with
// and without.
// @programs: gcc as
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawn } from 'node:child_process'
import { provideDebianPrograms } from '@retrap/tooling/programs'
import { buildInitramfs } from '../src/linux/initramfs.ts'
import { runProgram } from '../test/support/processes.ts'
import { fetchI386, fetchSeabios, NODE_FLAGS } from './jit/peers.ts'

const MEBIBYTES = 256
const COMMAND_LINE = 'console=ttyS0 quiet mitigations=off'
const PROMPT = '/ # \u001b[6n'
const DEADLINE_MS = 300_000
/** Goals: a restore in a process that has made a machine, and what recording adds to a boot. */
const RESTORE_GOAL_MS = 20
const RECORD_GOAL_PERCENT = 10
const QEMU = 'qemu-system-i386'
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const RETRAP_GUEST = fileURLToPath(new URL('snapshot/retrap-guest.ts', import.meta.url))
const V86_GUEST = fileURLToPath(new URL('snapshot/v86-guest.ts', import.meta.url))

/** What an emulator took, in milliseconds, and the size of what it saved. */
interface Figures {
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

/** @param args - how many times each saves and goes on (5) */
export async function run([rounds = '5']: readonly string[]): Promise<void> {
  await provideDebianPrograms({ table: [{ packages: ['qemu-system-x86'], programs: [QEMU] }] })
  const folder = await mkdtemp(join(tmpdir(), 'retrap-snapshot-'))
  try {
    const { kernel, busybox } = await fetchI386()
    const initrd = join(folder, 'initrd.img')
    await writeFile(initrd, buildInitramfs(await readFile(busybox)))
    const { bios, vgaBios } = await fetchSeabios()
    const guest = [kernel, initrd, String(MEBIBYTES), COMMAND_LINE, PROMPT, rounds]
    const ours = await figuresOf(RETRAP_GUEST, guest)
    report('v86', ours, await figuresOf(V86_GUEST, [bios, vgaBios, ...guest]))
    report('QEMU', ours, await qemu(folder, kernel, initrd, Number(rounds)))
    const mib = (ours.bytes / 2 ** 20).toFixed(1)
    console.log(`snapshot-file: ${mib} MiB, compressed and written in ${Math.round(ours.write ?? NaN)} ms`)
    const cold = median(ours.restore).toFixed(1)
    console.log(`snapshot-cold: ${cold} ms to the first instruction of a new machine (goal ${RESTORE_GOAL_MS})`)
    const { plain = [], recorded = [] } = ours.boots ?? {}
    const cost = (100 * (median(recorded) / median(plain) - 1)).toFixed(1)
    const ms = `${median(recorded).toFixed(0)} ms against ${median(plain).toFixed(0)}`
    console.log(`snapshot-record: ${cost} % over a boot on deterministic time (${ms}; goal ${RECORD_GOAL_PERCENT} %)`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

function report(peer: string, ours: Figures, theirs: Figures): void {
  const line = (what: string, mine: number, other: number, unit: string): void =>
    console.log(
      `snapshot-${what}: ${(other / mine).toFixed(2)} x ${peer} (${mine.toFixed(1)} ${unit} against ${other.toFixed(1)})`,
    )
  line('pause', median(ours.pause ?? ours.save), median(theirs.save), 'ms')
  line('save', median(ours.save), median(theirs.save), 'ms')
  line('restore', median(ours.restore), median(theirs.restore), 'ms')
  line('back', median(ours.back ?? ours.restore), median(theirs.back ?? theirs.restore), 'ms')
  line('size', ours.bytes / 2 ** 20, theirs.bytes / 2 ** 20, 'MiB')
}

async function figuresOf(program: string, args: readonly string[]): Promise<Figures> {
  const command = [...NODE_FLAGS, program, ...args]
  const { code, stdout, stderr } = await runProgram(process.execPath, command, { deadlineMs: DEADLINE_MS })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  if (code !== 0 || !last.startsWith('{'))
    throw new Error(`${program} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return JSON.parse(last) as Figures
}

/** Saves by the commands of QEMU's monitor, to an empty image. */
async function qemu(folder: string, kernel: string, initrd: string, rounds: number): Promise<Figures> {
  const image = join(folder, 'state.qcow2')
  const create = [MAIN, 'image', 'create', '-f', 'qcow2', image, '1G']
  const made = await runProgram(process.execPath, create, { deadlineMs: DEADLINE_MS })
  if (made.code !== 0) throw new Error(`image create ended with ${made.code}: ${made.stderr}`)
  const before = (await stat(image)).size
  const monitor = join(folder, 'monitor')
  const child = spawn(
    QEMU,
    // prettier-ignore
    ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(MEBIBYTES), '-nodefaults', '-display', 'none', '-serial', 'stdio',
      '-monitor', `unix:${monitor},server=on,wait=off`, '-drive', `if=none,id=state,format=qcow2,file=${image}`,
      '-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  try {
    let printed = ''
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code) => reject(new Error(`${QEMU} ended with ${code}:\n${printed}`)))
      child.stdout.on('data', (bytes: Buffer) => {
        printed += bytes.toString('latin1')
        if (printed.endsWith(PROMPT)) resolve()
      })
    })
    const socket = connect(monitor)
    await once(socket, 'connect')
    await answer(socket, '')
    const figures = { save: [] as number[], restore: [] as number[] }
    for (const [name, times] of [
      ['savevm', figures.save],
      ['loadvm', figures.restore],
    ] as const) {
      for (let i = 0; i < rounds; i++) {
        const begun = performance.now()
        const said = await answer(socket, `${name} state\n`)
        times.push(performance.now() - begun)
        if (/error/i.test(said)) throw new Error(`${name}: ${said}`)
      }
    }
    socket.destroy()
    return { ...figures, bytes: (await stat(image)).size - before }
  } finally {
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
  }
}

/** Sends a command to the monitor. @returns what it says up to its next prompt */
function answer(socket: Socket, command: string): Promise<string> {
  return new Promise((resolve) => {
    let said = ''
    const take = (bytes: Buffer): void => {
      said += bytes.toString('latin1')
      if (!said.endsWith('(qemu) ')) return
      socket.off('data', take)
      resolve(said)
    }
    socket.on('data', take)
    if (command !== '') socket.write(command)
  })
}
