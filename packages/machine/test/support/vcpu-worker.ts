import { parentPort, workerData } from 'node:worker_threads'
import { SharedTransport } from '@retrap/device-hosting'
import type { StartBoardServer } from '../../src/index.ts'
import { outcomeOf } from './board-outcome.ts'

// A machine in a thread that may block: each access of a device waits for its answer where it is made (Atomics.wait).
const { kernel } = workerData as { readonly kernel: Uint8Array }

const onOtherThread: StartBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) => {
  const transport = new SharedTransport(dispatch, platform, { name, realTime, onMessage, patienceMs: Infinity })
  parentPort?.postMessage({ memory: transport.memory, board })
  return transport
}

// Node does not count the wait for a shared word as something to stay for.
const alive = setInterval(() => {}, 1000)
const outcome = await outcomeOf(kernel, onOtherThread)
clearInterval(alive)
parentPort?.postMessage(outcome)
