import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { type DeviceContext, type DeviceModel, defineDevice } from '@retrap/device'

/** Where a model is. */
interface Place {
  /** Where it answers. */
  readonly device: number
  /** Where it writes by DMA: a counter, and something random. */
  readonly count: number
  /** The line that it drives. */
  readonly irq: number
}

/** Its place in a PC. */
export const DEVICE = 0xfed9_0000
export const COUNT = 0x20_1000
const PC_PLACE: Place = { device: DEVICE, count: COUNT, irq: 5 }
/** How often the models write before a guest ends. */
export const WRITES = 30

const random = (): number => Math.floor(Math.random() * 2 ** 32)

/** Writes guest memory and drives a line by itself, from the guest's first access on: when the host's timers say so, and when the guest's do. */
function beBusy(context: DeviceContext, place: Place, begun: Promise<unknown>): void {
  const line = context.interruptLine(place.irq)
  let count = 0
  const write = async (): Promise<void> => {
    const bytes = new Uint8Array(8)
    const view = new DataView(bytes.buffer)
    // What it has written last is there.
    await context.dma.readAsync(place.count, bytes)
    if (view.getUint32(0, true) !== count) throw new Error(`expected ${count} at the counter`)
    view.setUint32(0, ++count, true)
    view.setUint32(4, random(), true)
    await context.dma.writeAsync(place.count, bytes)
    line.set(random() % 2 === 0)
  }
  /** One after the other: both read and write the same counter. */
  let last = Promise.resolve()
  const next = (): Promise<void> => (last = last.then(write))
  const timer = context.timer(async () => {
    await next()
    timer.armAfter(random() % 500_000)
  })
  timer.armAfter(1000)
  void (async () => {
    await begun
    for (let i = 0; i < WRITES; i++) {
      await (i % 2 === 0 ? turn() : sleep(1))
      await next()
    }
  })()
}

/** A model that answers at once, and nobody knows what. */
export function synchronous(place = PC_PLACE): DeviceModel {
  const { promise, resolve } = Promise.withResolvers<void>()
  return defineDevice({
    name: 'random',
    synchronous: true,
    mmio: { base: place.device, size: 16 },
    read: random,
    write: () => resolve(),
    attach: (context) => beBusy(context, place, promise),
  })
}

/** A device that takes its time. */
export function asynchronous(place = PC_PLACE): DeviceModel {
  const { promise, resolve } = Promise.withResolvers<void>()
  return defineDevice({
    name: 'random',
    mmio: { base: place.device, size: 16 },
    async read() {
      if (random() % 8 === 0) await turn()
      return random()
    },
    async write() {
      resolve()
      if (random() % 8 === 0) await turn()
    },
    attach: (context) => beBusy(context, place, promise),
  })
}
