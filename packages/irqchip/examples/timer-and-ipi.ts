// Two processors: the first one's timer ticks, and its handler pokes the second.
import {
  APIC_EOI,
  APIC_ICR,
  APIC_ICR2,
  APIC_LVT_TIMER,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMICT,
  InterruptFabric,
} from '@retrap/irqchip'

let now = 0
const due: (() => void)[] = []
const fabric = new InterruptFabric({
  cpus: 2,
  clock: {
    read: (into) => {
      into.lo = now // bits 31:0; `hi` has the others
      into.hi = 0
    },
    timer: (callback) => ({
      armAfter: (delayNs, from) => {
        console.log('timer armed for', from.lo + delayNs, 'ns')
        due.push(callback)
      },
      cancel: () => {},
    }),
  },
  wake: (cpu) => console.log('vCPU', cpu, 'has something to do'),
})

const [first, second] = fabric.localApics
for (const apic of fabric.localApics) apic.write(APIC_SVR, 0x1ff) // enable
first!.write(APIC_TDCR, 0xb) // divide by 1: a count is a nanosecond
first!.write(APIC_LVT_TIMER, 0xec) // one-shot, vector 0xec
first!.write(APIC_TMICT, 1000)

now = 1000
due.pop()!()
console.log('vector', first!.acknowledge())
first!.write(APIC_ICR2, 1 << 24) // to APIC 1
first!.write(APIC_ICR, 0xfd)
first!.write(APIC_EOI, 0)
console.log('vector', second!.acknowledge())
// Output:
// timer armed for 1000 ns
// vCPU 0 has something to do
// vector 236
// vCPU 1 has something to do
// vector 253
