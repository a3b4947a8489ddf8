/** The same machine with its vCPUs on the main thread, which awaits its devices, and in a Worker, which blocks for them. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ACPI_PM } from '@retrap/devices'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { al, ax, dx, eax, ecx, edx, imm16, imm8, type Assembler } from '@retrap/x86-assembler'
import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { createPc, serveBoard, type BoardDescription, type StartBoardServer } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const DEADLINE_MS = 60_000
const COM1 = 0x3f8
const READS = 100

/** Prints what the PIT counts, which depends on the time of each access, and powers off. */
function guest(asm: Assembler): void {
  const loop = asm.label()
  asm.mov(ecx, READS).bind(loop).in(al, imm8(0x40)).mov(edx, COM1).out(dx, al).dec(ecx).jnz(loop)
  asm
    .mov(dx, imm16(ACPI_PM.base + 4))
    .mov(eax, 0x2000 | (ACPI_PM.s5SleepType << 10))
    .out(dx, ax)
    .hlt()
}

interface Outcome {
  readonly reason: string
  readonly text: string
  readonly instructions: number
  /** How often a vCPU has come back to wait for a device. */
  readonly blocked: number
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
  const pc = await createPc({
    jit: TEST_JIT,
    memoryBytes: 4 << 20,
    codeCacheBytes: 4 << 20,
    kernel,
    clock: 'deterministic',
    devicePlacement: inWorker,
  })
  let text = ''
  pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  const { reason } = await pc.run({ timeoutMs: 100_000 })
  const { instructions, exits } = pc.statistics()
  pc.close()
  return { reason, text, instructions, blocked: exits['blocked'] ?? 0 }
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
