// Goes back in a run of Debian's kernel with 512 MiB of RAM, on a PC and on an Arm board. The run is recorded from power-on, through
// its boot, to the end of a command that reads and writes files: 20 steps back from the end, `goto` of 100 random instants, 20 steps
// back from the last of them, and who wrote the first byte of 5 frames of RAM. Host time from the call to its end, median and worst;
// then the memory of the process with the machine, its past and the recording. At last, the processor time of the Arm board's steps
// and jumps beside that of the PC's: at most 1.3 times as much. What recording itself costs is in the record bench.
//
// Before all that: what breakpoints cost that lie in the page of a hot loop. `--jumps 0` ends after that.
//
// npm run -s bench -- travel [--seed N] [--board pc|virt] [--jumps N]
import { readFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type Pc, recordPc } from '@retrap/machine'
import { type ArmMachine, recordArmMachine } from '@retrap/machine/arm'
import { numbers } from '@retrap/tooling/random'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { measureBreakpoints } from './breakpoints.ts'

const MEMORY_BYTES = 512 * 2 ** 20
const PROMPT = '/ # '
const COMMAND = "find /sys /proc/sys | md5sum; dd if=/dev/zero of=/x bs=1M count=32; echo do''ne\n"
const DONE = 'done\r\n'
const STEPS = 20
const QUESTIONS = 5
const PAGE_BYTES = 4096
/** Milliseconds: median and worst. */
const LAST_MINUTE = { median: 500, worst: 2000 }
const ANYWHERE = { median: Infinity, worst: 5000 }
const MOST_BYTES = 1.5 * 2 ** 30
/** The time of an Arm board's travels, beside a PC's. */
const MOST_RATIO = 1.3

type Board = 'pc' | 'virt'

/** Median processor times by name, in milliseconds. */
type Times = Map<string, number>

/** Milliseconds of host time, and of processor time of the whole process. */
interface Took {
  readonly host: number
  readonly processor: number
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: 'string' }, board: { type: 'string' }, jumps: { type: 'string', default: '100' } },
  })
  const seed = Number(values.seed ?? Date.now() % 1e6)
  const jumps = Number(values.jumps)
  await measureBreakpoints()
  if (jumps === 0) return
  const pc = values.board === 'virt' ? undefined : await travel('pc', seed, jumps)
  const virt = values.board === 'pc' ? undefined : await travel('virt', seed, jumps)
  if (virt !== undefined && pc !== undefined) compare(virt, pc)
}

function compare(virt: Times, pc: Times): void {
  for (const [name, ms] of virt) {
    const ratio = ms / pc.get(name)!
    console.log(
      `travel-${name}-virt: ${ratio.toFixed(2)} x the PC's (${ms.toFixed(0)} ms against ${pc.get(name)!.toFixed(0)} ms, medians of processor time; ` +
        `load ${loadavg()[0]!.toFixed(0)}; ${ratio <= MOST_RATIO ? 'reaches the goal' : 'ABOVE THE GOAL'}: at most ${MOST_RATIO})`,
    )
  }
}

async function travel(board: Board, seed: number, jumps: number): Promise<Times> {
  const random = numbers(seed)
  const pieces: Uint8Array[] = []
  const write = (piece: Uint8Array): void => void pieces.push(piece.slice())
  const recorder = await (board === 'pc'
    ? recordPc(await debian(board), write)
    : recordArmMachine(await debian(board), write))
  const { machine } = recorder
  const seconds = await work(machine)
  const end = recorder.instructions
  const log = bytesOf(pieces)
  const checkpoints: Uint8Array[] = []
  await recorder.copyEnd((piece) => void checkpoints.push(piece))
  console.log(
    `travel-run-${board}: ${seconds.toFixed(0)} s, ${(end / 1e6).toFixed(0)} million instructions; a log of ${mib(log)} MiB, ` +
      `${mib(bytesOf(checkpoints))} MiB of checkpoints in a file`,
  )
  checkpoints.length = 0
  const read = (offset: number, bytes: number): Uint8Array => readPieces(pieces, offset, bytes)
  const debug = await recorder.debugger({ read })
  const times: Times = new Map()
  const report = (name: string, what: string, all: readonly Took[], goal: typeof ANYWHERE): void => {
    times.set(name, reportTimes(`${name}-${board}`, what, all, goal))
  }
  const [first, ...steps] = await timesOf(STEPS + 1, () => debug.stepBack())
  report('first', 'the first step back', [first!], ANYWHERE)
  report('step', 'steps back from the end', steps, LAST_MINUTE)
  report('goto', `random instants, seed ${seed}`, await timesOf(jumps, () => debug.goto(random(end))), ANYWHERE)
  report('there', 'steps back from there', await timesOf(STEPS, () => debug.stepBack()), ANYWHERE)
  const ask = (): Promise<object> =>
    debug.whoWrote(BigInt(PAGE_BYTES * random(MEMORY_BYTES / PAGE_BYTES)), { physical: true })
  report('who', 'questions who wrote a byte', await timesOf(QUESTIONS, ask), ANYWHERE)
  const { rss } = process.memoryUsage()
  const peak = process.resourceUsage().maxRSS * 1024
  console.log(
    `travel-memory-${board}: ${mib(rss)} MiB resident, at most ${mib(peak)}; ${peak <= MOST_BYTES ? 'reaches the goal' : 'ABOVE THE GOAL'}: ` +
      `${mib(MOST_BYTES)} for a guest of ${mib(MEMORY_BYTES)}`,
  )
  await recorder.end()
  machine.close()
  return times
}

async function debian(board: Board) {
  const { kernelPath, busyboxPath } = await (board === 'pc'
    ? fetchLinux('linux-image-cloud-amd64')
    : fetchLinux('linux-image-arm64', {}, 'arm64'))
  return {
    memoryBytes: MEMORY_BYTES,
    jit: true,
    clock: 'deterministic' as const,
    kernel: await readFile(kernelPath),
    initrd: buildInitramfs(await readFile(busyboxPath)),
    commandLine: `console=${board === 'pc' ? 'ttyS0' : 'ttyAMA0'} quiet`,
  }
}

/** Runs a machine to its prompt, and has it do its work. @returns seconds of the guest's time */
async function work(machine: Pc | ArmMachine): Promise<number> {
  const stop = new AbortController()
  let printed = ''
  let prompts = 0
  machine.serial.onTransmit((bytes) => {
    printed += Buffer.from(bytes).toString('latin1')
    if (prompts === 0 && printed.includes(PROMPT)) {
      prompts++
      machine.serial.receive(Buffer.from(COMMAND))
    }
    if (printed.includes(DONE)) stop.abort()
  })
  await machine.run({ signal: stop.signal })
  return Number(machine.domain.clock.now()) / 1e9
}

async function timesOf(count: number, action: () => Promise<object>): Promise<Took[]> {
  const times: Took[] = []
  for (let i = 0; i < count; i++) {
    const begun = performance.now()
    const before = process.cpuUsage()
    await action()
    const { user, system } = process.cpuUsage(before)
    times.push({ host: performance.now() - begun, processor: (user + system) / 1000 })
  }
  return times
}

/** @returns the median of processor time */
function reportTimes(name: string, what: string, times: readonly Took[], goal: typeof ANYWHERE): number {
  const host = times.map((one) => one.host)
  const [middle, worst, processor] = [median(host), Math.max(...host), median(times.map((one) => one.processor))]
  const isThere = middle <= goal.median && worst <= goal.worst
  console.log(
    `travel-${name}: median ${middle.toFixed(0)} ms, worst ${worst.toFixed(0)} ms (${times.length} ${what}; ` +
      `${processor.toFixed(0)} ms of processor time; load ${loadavg()[0]!.toFixed(0)}; ` +
      `${isThere ? 'reaches the goal' : 'ABOVE THE GOAL'}: median ${goal.median}, worst ${goal.worst})`,
  )
  return processor
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

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
