import { parentPort } from 'node:worker_threads'
import { SharedTransport } from '../../src/index.ts'
import {
  createIoRequest,
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  type IoRequest,
  STATUS_DONE,
  STATUS_RETRY,
} from '@retrap/ioreq'
import { makeMachine } from '../machine.ts'
import { CONTROL, DMA, DO, REGISTERS } from './models.ts'

// A vCPU's thread that never returns to its event loop: see vcpu-thread.test.ts.
const { dispatch, platform, events, ram, failures } = makeMachine()
const transport = new SharedTransport(dispatch, platform, { name: 'far' })
parentPort!.postMessage(transport.memory)

let ready = false
transport.remote.ready.then(
  () => (ready = true),
  () => (ready = true),
)
while (!transport.remote.server.enabled) transport.waitSync(10_000)

function access(fields: Partial<IoRequest>): number {
  let status = dispatch.submit(1, { ...createIoRequest(), type: IOREQ_TYPE_PIO, ...fields })
  while (status === STATUS_RETRY) {
    transport.waitSync(1000)
    dispatch.requests.expire(performance.now())
    status = dispatch.requests.take(1)
  }
  if (status !== STATUS_DONE) throw new Error(`status ${status}`)
  return dispatch.lo
}

const seen: number[] = []
for (let i = 0; i < 500; i++) {
  access({ direction: IOREQ_WRITE, addressLo: REGISTERS + (i & 31), dataLo: i & 0xff })
  seen.push(access({ direction: IOREQ_READ, addressLo: REGISTERS + (i & 31) }))
}
access({ direction: IOREQ_WRITE, addressLo: CONTROL, dataLo: DO.raise })
ram.set([1, 2, 3, 4], 0x100)
access({ direction: IOREQ_WRITE, addressLo: DMA, dataLo: 0x100, size: 4 })
access({ direction: IOREQ_WRITE, addressLo: DMA + 8, dataLo: 0x100, size: 4 })
// `ready` shows that not one promise has settled meanwhile: the event loop has not run.
const result = { seen, events: [...events], memory: [...ram.subarray(0x104, 0x108)], failures: failures.length, ready }
transport.close()
parentPort!.postMessage(result)
