// Moves a busy machine of 256 MiB from Node to Node by TCP, on a PC and on an Arm board. Its guest copies 64 MiB of random bytes
// over and over, and compares the digest of each copy: wherever the guest is, its memory is whole. Per move one line: how long the
// guest stood still, as `retrap migrate` says; at last the median and the worst of each board, the goal being 300 ms. In the moves of
// `--kills`, the destination is killed at a random instant: the guest goes on at the source, unless it was moved before.
//
// npm run -s bench -- migrate [--moves N] [--kills N] [--board pc|virt] [--seed N]
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { numbers } from '@retrap/tooling/random'
import { armLinux, CLOUD, linuxWith } from '../test/support/disk-linux.ts'
import { FIRST_PROCESS } from '../test/support/first-process.ts'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const DEADLINE_MS = 300_000
const GOAL_MS = 300

/** The first process: each line says how many copies were whole so far. */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs -o size=200m tmpfs /mnt
dd if=/dev/urandom of=/mnt/a bs=1M count=64 2>/dev/null
sum=$(sha256sum < /mnt/a)
n=0
while cp /mnt/a /mnt/b && [ "$(sha256sum < /mnt/b)" = "$sum" ]; do
  n=$((n + 1))
  echo "WHOLE $n"
done
echo BROKEN
`

/** A process of the command, and all that it has printed. */
class Side {
  text = ''
  readonly process: ChildProcess

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, ['--max-semi-space-size=1', MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.on('data', (bytes: Buffer) => void (this.text += bytes.toString('latin1')))
  }

  get copies(): number {
    return Number(/.*WHOLE (\d+)/s.exec(this.text)?.[1] ?? 0)
  }

  /** Waits for something; false: it does not come. */
  async until(is: () => boolean, ms = DEADLINE_MS): Promise<boolean> {
    for (const end = performance.now() + ms; !is();) {
      await pause(20)
      if (performance.now() > end || (this.process.exitCode ?? this.process.signalCode) !== null) return is()
    }
    return true
  }

  async end(): Promise<void> {
    if ((this.process.exitCode ?? this.process.signalCode) !== null) return
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ args: [...args], options: { moves: text, kills: text, board: text, seed: text } })
  const folder = await mkdtemp(join(tmpdir(), 'retrap-migrate-'))
  const below = numbers(Number(values.seed ?? 1))
  try {
    for (const board of ['pc', 'virt'] as const) {
      if (values.board !== undefined && values.board !== board) continue
      const machine = await machineOf(board, folder)
      const stood: number[] = []
      for (let move = 0; move < Number(values.moves ?? 5); move++) stood.push(await moved(machine, folder, board))
      const sorted = stood.toSorted((a, b) => a - b)
      const [median, worst] = [sorted[sorted.length >> 1] ?? NaN, sorted.at(-1) ?? NaN]
      console.log(
        `migrate-${board}: median ${median} ms, worst ${worst} ms of standstill (${stood.length} moves of a busy guest of 256 MiB; ` +
          `load ${loadavg()[0]!.toFixed(0)}; ${worst <= GOAL_MS ? 'reaches the goal' : 'ABOVE THE GOAL'}: ${GOAL_MS})`,
      )
      for (let kill = 0; kill < Number(values.kills ?? 3); kill++)
        console.log(`migrate-kill-${board}: ${await moved(machine, folder, board, below(4000))} went on`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Writes the guest's files. @returns the command line of its machine */
async function machineOf(board: 'pc' | 'virt', folder: string): Promise<string[]> {
  const linux = await (board === 'virt' ? armLinux([], AUTO) : linuxWith([], AUTO, CLOUD))
  if (linux === undefined) throw new Error("there is no apt to fetch Debian's kernel with")
  const initrd = join(folder, `initrd-${board}`)
  await writeFile(initrd, linux.initrd)
  await writeFile(join(folder, 'secret'), 'x'.repeat(32))
  const console = board === 'virt' ? 'ttyAMA0' : 'ttyS0'
  const append = `console=${console} quiet cryptomgr.notests rdinit=/auto`
  const arch = board === 'virt' ? ['--arch', 'arm64'] : []
  return ['run', ...arch, '--memory', '256M', '--kernel', linux.kernelPath, '--initrd', initrd, '--append', append]
}

/**
 * Moves a machine.
 *
 * @param killAfter - the destination is killed so many milliseconds after the move has begun
 * @returns how long it stood still, in milliseconds; with `killAfter`, 0 for the source and 1 for the destination
 */
async function moved(machine: readonly string[], folder: string, board: string, killAfter?: number): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  const there = `tcp:127.0.0.1:${port},secret=${join(folder, 'secret')}`
  const control = join(folder, 'control')
  const source = new Side([...machine, '--control', control])
  const destination = new Side([...machine, '--incoming', there])
  const sides = [source, destination]
  try {
    if (!(await source.until(() => source.copies >= 2))) throw new Error(`the guest does not begin:\n${source.text}`)
    await destination.until(() => destination.text.includes('waiting for a machine'))
    const move = new Side(['migrate', control, there])
    sides.push(move)
    if (killAfter !== undefined) {
      await pause(killAfter)
      await destination.end()
    }
    await move.until(() => false)
    const stood = /(\d+) ms of standstill/.exec(move.text)?.[1]
    const at = killAfter === undefined || stood !== undefined ? 1 : 0
    if (killAfter !== undefined && at === 1) return 1
    const [side, before] = [sides[at]!, sides[at]!.copies]
    const goesOn = await side.until(() => side.copies > Math.max(before, source.copies * at), 60_000)
    const broken = sides.some((each) => each.text.includes('BROKEN'))
    if (!goesOn || broken || (killAfter === undefined && stood === undefined))
      throw new Error(
        `${board}: ${broken ? 'memory is lost' : 'nobody goes on'}:\n${sides.map((each) => each.text).join('\n--\n')}`,
      )
    console.log(`${board}: ${move.text.trim()}`)
    return killAfter === undefined ? Number(stood) : 0
  } finally {
    for (const side of sides) await side.end()
    await rm(control, { force: true })
  }
}
