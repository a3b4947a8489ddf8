// A thermometer on the guest's bus: `retrap linux --device ./my-device.ts`, then `devmem 0xfed90000` in the guest.
import { defineDevice, type DeviceContext, type InterruptLine, type Timer } from '@retrap/device'

const SAMPLE = 0 // read: degrees, from a sensor that takes its time
const ALARM = 4 // write: milliseconds until interrupt 10; read: whether it has come
const REPORT = 8 // write: where in guest memory the last sample is to be put

let context: DeviceContext
let line: InterruptLine
let timer: Timer
let degrees = 0
let rang: 0 | 1 = 0
const ring = (level: 0 | 1): void => line.set((rang = level) !== 0)

export const thermometer = defineDevice({
  name: 'thermometer',
  mmio: { base: 0xfed9_0000, size: 0x1000, minimumAccess: 4 },
  attach(given) {
    context = given
    line = given.interruptLine(10)
    timer = given.timer(() => ring(1))
  },
  async read(offset) {
    if (offset === ALARM) return rang
    if (offset !== SAMPLE) return 0
    await new Promise((resolve) => setTimeout(resolve, 5)) // the guest's MOV waits; nothing else does
    return (degrees = 21)
  },
  async write(offset, _size, value) {
    if (offset === ALARM) ring(0)
    if (offset === ALARM) timer.armAfter(value * 1e6)
    if (offset === REPORT) await context.dma.writeAsync(value, Uint8Array.of(degrees))
  },
})
// Output:
