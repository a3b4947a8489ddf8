import { Mc146818, Uart16550 } from '@retrap/devices'
import { Instant, type Clock } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { DeviceHost } from '@retrap/device-hosting'
import { IoDispatch } from '@retrap/ioreq'

// A board of two devices, with nothing around it but wires and a clock.
let nowNs = 0
const clock: Clock = { now: () => nowNs, read: (into) => Object.assign(into, Instant.from(nowNs).save()) }
const timers = new TimerQueue(clock)
const dispatch = new IoDispatch({ vcpus: 1 })
const host = new DeviceHost(dispatch, {
  clock,
  timer: (callback) => timers.create(callback),
  dma: { read: () => false, write: () => false },
  interruptLine: (irq) => ({
    set: (level) => level && console.log(`IRQ ${irq} rises`),
    pulse: () => console.log(`IRQ ${irq} pulses`),
  }),
  signalMsi: () => {},
  powerOff: () => {},
  reset: () => {},
  exit: () => {},
})
const serial = new Uart16550({ stream: { send: (bytes) => console.log(`sent: ${String.fromCharCode(...bytes)}`) } })
host.attach(serial)
host.attach(new Mc146818({ epochSeconds: 951_782_399, lowRamBytes: 2 ** 29, highRamBytes: 0, cpus: 1 }))

// What a guest does with OUT and IN.
dispatch.portWrite(0x3fb, 1, 0x03)
for (const character of 'hello') dispatch.portWrite(0x3f8, 1, character.charCodeAt(0))
dispatch.portWrite(0x3fc, 1, 0x08)
dispatch.portWrite(0x3f9, 1, 0x01)
serial.receive(Uint8Array.of(0x21))

nowNs += 2_000_000_000
timers.expire()
const cmos = (index: number): string => {
  dispatch.portWrite(0x70, 1, index)
  dispatch.portRead(0x71, 1)
  return dispatch.lo.toString(16).padStart(2, '0')
}
console.log(`date: ${cmos(0x32)}${cmos(9)}-${cmos(8)}-${cmos(7)} ${cmos(4)}:${cmos(2)}:${cmos(0)}`)

// Output:
// IRQ 4 rises
// sent: hello
// date: 2000-02-29 00:00:01
