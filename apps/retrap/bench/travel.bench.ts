// Goes back in a run of Debian's kernel with 512 MiB of RAM, which is recorded from power-on, through its boot, to the end of a
// command that reads and writes files: 20 steps back from the end, `goto` of 100 random instants, 20 steps back from the last of
// them, and who wrote the first byte of 5 frames of RAM. Host time from the call to its end, median and worst; then the memory of
// the process with the machine, its past and the recording. What recording itself costs is in the record bench.
//
// npm run -s bench -- travel [--seed N]
import { readFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type Pc, type PcOptions, recordPc } from '@retrap/machine'
import { numbers } from '@retrap/tooling/random'
import { fetchLinux } from '../src/guests/linux/debian.ts'
import { buildInitramfs } from '../src/guests/linux/initramfs.ts'

const MEMORY_BYTES = 512 * 2 ** 20
const PROMPT = '/ # '
const COMMAND = "find /sys /proc/sys | md5sum; dd if=/dev/zero of=/x bs=1M count=32; echo do''ne\n"
const DONE = 'done\r\n'
const STEPS = 20
const JUMPS = 100
const QUESTIONS = 5
const PAGE_BYTES = 4096
/** Milliseconds: median and worst. */
const LAST_MINUTE = { median: 500, worst: 2000 }
const ANYWHERE = { median: Infinity, worst: 5000 }
const MOST_BYTES = 1.5 * 2 ** 30

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { seed: { type: 'string' } } })
  const seed = Number(values.seed ?? Date.now() % 1e6)
  const random = numbers(seed)
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(await debian(), (piece) => void pieces.push(piece.slice()))
  const { pc } = recorder
  const seconds = await work(pc)
  const end = recorder.instructions
  const log = bytesOf(pieces)
  const checkpoints: Uint8Array[] = []
  await recorder.copyEnd((piece) => void checkpoints.push(piece))
  console.log(
    `travel-run: ${seconds.toFixed(0)} s, ${(end / 1e6).toFixed(0)} million instructions; a log of ${mib(log)} MiB, ` +
      `${mib(bytesOf(checkpoints))} MiB of checkpoints in a file`,
  )
  checkpoints.length = 0
  const read = (offset: number, bytes: number): Uint8Array => readPieces(pieces, offset, bytes)
  const debug = await recorder.debugger({ read })
  const [first, ...steps] = await timesOf(STEPS + 1, () => debug.stepBack())
  report('first', 'the first step back', [first!], ANYWHERE)
  report('step', 'steps back from the end', steps, LAST_MINUTE)
  report('goto', `random instants, seed ${seed}`, await timesOf(JUMPS, () => debug.goto(random(end))), ANYWHERE)
  report('there', 'steps back from there', await timesOf(STEPS, () => debug.stepBack()), ANYWHERE)
  const ask = (): Promise<object> =>
    debug.whoWrote(BigInt(PAGE_BYTES * random(MEMORY_BYTES / PAGE_BYTES)), { physical: true })
  report('who', 'questions who wrote a byte', await timesOf(QUESTIONS, ask), ANYWHERE)
  const { rss } = process.memoryUsage()
  const peak = process.resourceUsage().maxRSS * 1024
  console.log(
    `travel-memory: ${mib(rss)} MiB resident, at most ${mib(peak)}; ${peak <= MOST_BYTES ? 'reaches the goal' : 'ABOVE THE GOAL'}: ` +
      `${mib(MOST_BYTES)} for a guest of ${mib(MEMORY_BYTES)}`,
  )
  await recorder.end()
  pc.close()
}

async function debian(): Promise<PcOptions> {
  const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
  return {
    memoryBytes: MEMORY_BYTES,
    jit: true,
    clock: 'deterministic',
    kernel: await readFile(kernelPath),
    initrd: buildInitramfs(await readFile(busyboxPath)),
    commandLine: 'console=ttyS0 quiet',
  }
}

/** Runs a machine to its prompt, and has it do its work. @returns seconds of the guest's time */
async function work(pc: Pc): Promise<number> {
  const stop = new AbortController()
  let printed = ''
  let prompts = 0
  pc.serial.onTransmit((bytes) => {
    printed += Buffer.from(bytes).toString('latin1')
    if (prompts === 0 && printed.includes(PROMPT)) {
      prompts++
      pc.serial.receive(Buffer.from(COMMAND))
    }
    if (printed.includes(DONE)) stop.abort()
  })
  await pc.run({ signal: stop.signal })
  return Number(pc.domain.clock.now()) / 1e9
}

async function timesOf(count: number, action: () => Promise<object>): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const begun = performance.now()
    await action()
    times.push(performance.now() - begun)
  }
  return times
}

function report(name: string, what: string, times: readonly number[], goal: typeof ANYWHERE): void {
  const sorted = times.toSorted((a, b) => a - b)
  const [median, worst] = [sorted[sorted.length >> 1]!, sorted.at(-1)!]
  const isThere = median <= goal.median && worst <= goal.worst
  console.log(
    `travel-${name}: median ${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms (${times.length} ${what}; ` +
      `load ${loadavg()[0]!.toFixed(0)}; ${isThere ? 'reaches the goal' : 'ABOVE THE GOAL'}: ` +
      `median ${goal.median}, worst ${goal.worst})`,
  )
}

function readPieces(pieces: readonly Uint8Array[], offset: number, bytes: number): Uint8Array {
  const into = new Uint8Array(bytes)
  let [at, done] = [0, 0]
  for (const piece of pieces) {
    const some = piece.subarray(Math.max(0, offset + done - at), Math.max(0, offset + bytes - at))
    into.set(some, done)
    done += some.length
    at += piece.length
  }
  return into.subarray(0, done)
}

const bytesOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0)

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
