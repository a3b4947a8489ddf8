// Boots a Debian 12 with GRUB, systemd and an ext4 root from disks to its login: compiled, by the interpreter, and with
// QEMU's TCG. Compares the processor time of the processes, user and system, all threads, from their start to the login.
// All have one processor, the same disks, and SeaBIOS; they run in turn, and the best of each counts. Ratios are speed
// against speed: more is better for retrap.
// @programs: qemu-system-x86_64 mformat mcopy mmd mke2fs grub-mkimage xorriso
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processTime } from '@retrap/tooling/processor-time'
import { makeExt4, makeGrubDisk } from '../test/support/boot-media.ts'
import { makeDebianRoot, ROOT_COMMAND_LINE, rootLinux } from '../test/support/debian-root.ts'
import { runProgram } from '../test/support/processes.ts'

const ROOT_BYTES = 512 << 20
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
// As the retrap command runs it: src/main.ts says so to the shell.
const RETRAP = ['--max-semi-space-size=1', MAIN, 'run', '--memory', '1G', '--snapshot']
const QEMU = 'qemu-system-x86_64'
const TCG = ['-accel', 'tcg', '-cpu', 'max', '-m', '1024', '-display', 'none', '-serial', 'stdio', '-snapshot']
const LOGIN = 'login: '

/** @param args - how many times compiled code and TCG are run (2); the interpreter runs once */
export async function run([rounds = '2']: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-login-'))
  try {
    const disks = await makeDisks(folder)
    const version = execFileSync(QEMU, ['--version'], { encoding: 'utf8' }).split('\n')[0]
    const drives = disks.flatMap((file) => ['-drive', `file=${file},format=raw,if=ide`])
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < Number(rounds); round++) {
      ours.push(await timeToLogin(process.execPath, [...RETRAP, ...disks]))
      theirs.push(await timeToLogin(QEMU, [...TCG, ...drives]))
    }
    const interpreted = await timeToLogin(process.execPath, [...RETRAP, '--jit', 'off', ...disks])
    const [best, peer] = [Math.min(...ours), Math.min(...theirs)]
    console.log(
      `login: ${(peer / best).toFixed(2)} x TCG (processor time from the start to Debian's login: ${best.toFixed(2)} s against ` +
        `${peer.toFixed(2)} s of ${version})`,
    )
    console.log(`login-interpreter: ${(peer / interpreted).toFixed(2)} x TCG (${interpreted.toFixed(2)} s)`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A disk with GRUB and a kernel, and one with the root file system. */
async function makeDisks(folder: string): Promise<readonly string[]> {
  const linux = await rootLinux()
  const files = join(folder, 'files')
  mkdirSync(files)
  if (linux === undefined || !(await makeDebianRoot(files))) throw new Error('there is no apt to fetch Debian with')
  const root = join(folder, 'root.img')
  makeExt4(root, ROOT_BYTES, files)
  const loader = await makeGrubDisk(mkdtempSync(join(folder, 'loader-')), linux, ROOT_COMMAND_LINE)
  if (loader === undefined) throw new Error('there is no apt to fetch GRUB with')
  return [loader, root]
}

/** Seconds of processor time until a program's guest asks who logs in. */
async function timeToLogin(program: string, args: readonly string[]): Promise<number> {
  let time = NaN
  const { stdout, stderr } = await runProgram(program, args, {
    deadlineMs: 900_000,
    onOutput: (output, pid) => {
      if (!Number.isNaN(time) || !output.includes(LOGIN)) return
      time = processTime(pid)
      process.kill(pid, 'SIGKILL')
    },
  })
  if (Number.isNaN(time)) throw new Error(`${program} has no login:\n${stdout.slice(-2000)}${stderr}`)
  return time
}
