/**
 * What the way from an access to its handler costs, `npm run -s bench -- dispatch`: the dispatcher's direct call against
 * a call of the same handler through a `Map`, which is the least that a machine with many devices could do.
 */
import { performance } from 'node:perf_hooks'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { createIoRequest, IoDispatch, IOREQ_READ, IOREQ_TYPE_PIO } from '@retrap/ioreq'
import type { Clock, DeviceModel } from '@retrap/device'

const ROUNDS = 7
const ACCESSES = 1_000_000
const DEVICES = 16

let ticks = 0
const models = Array.from({ length: DEVICES }, (_, i): DeviceModel => {
  const handler = { read: (offset: number) => offset + ticks, write: () => void ticks++ }
  return {
    name: `device ${i}`,
    attach(context) {
      context.mapPorts(0x100 + 8 * i, 8, handler)
      context.mapMmio(0xfed0_0000 + 0x1000 * i, 0x1000, handler)
    },
  }
})

const dispatch = new IoDispatch({ vcpus: 1 })
const clock: Clock = { now: () => 0, read: (into) => Object.assign(into, { lo: 0, hi: 0 }) }
const timers = new TimerQueue(clock)
const nothing = (): void => {}
const host = new DeviceHost(dispatch, {
  clock,
  timer: (callback) => timers.create(callback),
  dma: { read: () => false, write: () => false },
  interruptLine: () => ({ set: nothing, pulse: nothing }),
  signalMsi: nothing,
  powerOff: nothing,
  reset: nothing,
  exit: nothing,
})
for (const model of models) host.attach(model)

const map = new Map<number, { read(offset: number): number }>()
for (let port = 0x100; port < 0x100 + 8 * DEVICES; port++) {
  map.set(port, { read: (offset) => offset + ticks })
}

const request = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction: IOREQ_READ }
let sum = 0
// All devices take turns: the call of the handler is megamorphic, as in a machine.
const port = (i: number): number => 0x100 + (i & 0x7f)
const ways: Record<string, (count: number) => void> = {
  map(count) {
    for (let i = 0; i < count; i++) sum += map.get(port(i))!.read(port(i) & 7)
  },
  'direct port reads'(count) {
    for (let i = 0; i < count; i++) {
      dispatch.portRead(port(i), 1)
      sum += dispatch.lo
    }
  },
  'direct MMIO reads over 16 devices'(count) {
    for (let i = 0; i < count; i++) {
      dispatch.mmioRead(0xfed0_0000 + ((i & 15) << 12), 4)
      sum += dispatch.lo
    }
  },
  'direct MMIO reads of one device'(count) {
    for (let i = 0; i < count; i++) {
      dispatch.mmioRead(0xfed0_0010, 4)
      sum += dispatch.lo
    }
  },
  'port reads in logged passes'(count) {
    for (let i = 0; i < count; i++) {
      request.addressLo = port(i)
      dispatch.submit(0, request)
      sum += dispatch.lo
    }
  },
}

const best: Record<string, number> = {}
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, way] of Object.entries(ways)) {
    const start = performance.now()
    way(ACCESSES)
    const ns = ((performance.now() - start) * 1e6) / ACCESSES
    best[name] = Math.min(best[name] ?? Infinity, ns)
  }
}
const peer = best['map']!
for (const [name, ns] of Object.entries(best)) {
  if (name === 'map') continue
  const ratio = (peer / ns).toFixed(2)
  console.log(`dispatch: ${ratio} x Map (${name}: ${ns.toFixed(1)} ns, a Map look-up and call: ${peer.toFixed(1)} ns)`)
}
if (Number.isNaN(sum)) throw new Error('unreachable: keeps the sums alive')
