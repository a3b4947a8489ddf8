import { parentPort, workerData } from 'node:worker_threads'
import { SharedTransport } from '@retrap/device-hosting'
import { TEST_JIT } from '@retrap/tooling/jit'
import { createPc, type StartBoardServer } from '../../src/index.ts'

// A machine in a thread that may block: each access of a device waits for its answer where it is made (Atomics.wait).
const { kernel } = workerData as { readonly kernel: Uint8Array }

const onOtherThread: StartBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) => {
  const transport = new SharedTransport(dispatch, platform, { name, realTime, onMessage, patienceMs: Infinity })
  parentPort?.postMessage({ memory: transport.memory, board })
  return transport
}

// Node does not count the wait for a shared word as something to stay for.
const alive = setInterval(() => {}, 1000)
const pc = await createPc({
  jit: TEST_JIT,
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  kernel,
  clock: 'deterministic',
  devicePlacement: onOtherThread,
})
let text = ''
pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
const { reason } = await pc.run({ timeoutMs: 100_000 })
const { instructions, exits } = pc.statistics()
pc.close()
clearInterval(alive)
parentPort?.postMessage({ reason, text, instructions, blocked: exits['blocked'] ?? 0 })
