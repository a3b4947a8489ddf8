import { TimerQueue } from './timer-queue.ts'
import { APIC_SVR, InterruptFabric, type InterruptFabricOptions } from '../src/index.ts'

/** A machine's interrupt system with a clock that the test moves; every APIC enabled with spurious vector 255. */
export function makeFabric(options: Partial<InterruptFabricOptions> = {}, enabled = true) {
  const queue = new TimerQueue()
  const woken: number[] = []
  const fabric = new InterruptFabric({ cpus: 1, clock: queue, wake: (cpu) => woken.push(cpu), ...options })
  if (enabled) for (const apic of fabric.localApics) apic.write(APIC_SVR, 0x1ff)
  woken.length = 0
  return { fabric, apic: fabric.localApic(0), woken, queue, advance: (ns: number) => queue.advance(ns) }
}
