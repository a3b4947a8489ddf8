// A device model that takes its time, driven as a machine drives it.
import { defineDevice, type Clock } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { createIoRequest, STATUS_RETRY, IoDispatch, IOREQ_READ } from '@retrap/ioreq'

const thermometer = defineDevice({
  name: 'thermometer',
  mmio: { base: 0xfed9_0000, size: 0x1000 },
  async read(offset) {
    await new Promise((resolve) => setTimeout(resolve, 5)) // ask the sensor
    return 21 + offset
  },
})

const answered = Promise.withResolvers<number>()
const dispatch = new IoDispatch({ vcpus: 1, onComplete: (vcpu) => answered.resolve(vcpu) })
const clock: Clock = { now: () => 0, read: (into) => Object.assign(into, { lo: 0, hi: 0 }) }
const timers = new TimerQueue(clock)
const line = { set() {}, pulse() {} }
const host = new DeviceHost(dispatch, {
  clock,
  timer: (callback) => timers.create(callback),
  dma: { read: () => false, write: () => false },
  interruptLine: () => line,
  signalMsi() {},
  powerOff() {},
  reset() {},
  exit() {},
})
host.attach(thermometer)

// The guest's MOV, from vCPU 0: the request waits, and nothing else does.
const mov = { ...createIoRequest(), direction: IOREQ_READ, addressLo: 0xfed9_0000, size: 4 }
console.log('must wait:', dispatch.submit(0, mov) === STATUS_RETRY)
dispatch.requests.take(await answered.promise)
console.log('the guest reads', dispatch.lo)
// Output:
// must wait: true
// the guest reads 21
