/** The same machine with its vCPUs on the main thread, which awaits its devices, and in a Worker, which blocks for them. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { al, dx, ecx, edx, imm8, type Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { serveBoard, type BoardDescription, type StartBoardServer } from '../src/index.ts'
import { type Outcome, outcomeOf } from './support/board-outcome.ts'
import { multibootKernel, powerOff } from './support/kernels.ts'

const DEADLINE_MS = 60_000
const COM1 = 0x3f8
const READS = 100

/** Prints what the PIT counts, which depends on the time of each access, and powers off. */
function guest(asm: Assembler): void {
  const loop = asm.label()
  asm.mov(ecx, READS).bind(loop).in(al, imm8(0x40)).mov(edx, COM1).out(dx, al).dec(ecx).jnz(loop)
  powerOff(asm)
}

async function onMainThread(kernel: Uint8Array, patienceMs: number): Promise<Outcome> {
  const inWorker: StartBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) =>
    startDeviceWorker(dispatch, platform, {
      name,
      realTime,
      onMessage,
      patienceMs,
      modules: [],
      program: new URL('./support/board-worker.ts', import.meta.url),
      data: board,
    })
  return outcomeOf(kernel, inWorker)
}

/** The whole machine is in a Worker, and the board's models here. */
async function inWorker(kernel: Uint8Array): Promise<Outcome> {
  const worker = new Worker(new URL('./support/vcpu-worker.ts', import.meta.url), {
    workerData: { kernel },
    execArgv: ['--conditions=retrap-source'],
  })
  const [made] = (await once(worker, 'message')) as [
    { readonly memory: SharedDeviceMemory; readonly board: BoardDescription },
  ]
  const outcome = once(worker, 'message') as Promise<[Outcome]>
  // This thread goes about other things: it never blocks.
  await serveBoard(made.memory, made.board, { blockMs: 0 })
  const [result] = await outcome
  await worker.terminate()
  return result
}

test(
  'vCPUs await their devices on the main thread, or block for them in a Worker: the same code, the same run',
  async () => {
    const kernel = multibootKernel(guest)
    const awaits = await onMainThread(kernel, 0)
    expect({ ...awaits, text: awaits.text.length }).toMatchObject({ reason: 'power-off', text: READS })
    // Where the Worker was not there with its answer at once.
    expect(awaits.blocked).toBeGreaterThan(0)
    const blocks = await inWorker(kernel)
    // On deterministic time a vCPU comes back once for each request, however soon its answer is there.
    expect(awaits.blocked).toBeGreaterThan(READS)
    expect(blocks).toEqual(awaits)
    expect(await onMainThread(kernel, 5000)).toEqual(awaits)
  },
  DEADLINE_MS,
)
