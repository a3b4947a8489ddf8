import type { Rng, Soak } from '@retrap/tooling/soak'
import * as irqchip from '../../src/index.ts'
import { InterruptFabric, type LocalApic } from '../../src/index.ts'

const CPUS = 3
const IRQS = [1, 3, 4, 9, 16, 20]
const LEVEL = 0x8000
const MASKED = 0x1_0000
const LOGICAL = 0x800

/** A processor as simply as it can be put: sets of vectors. */
class NaiveCpu {
  readonly irr = new Set<number>()
  readonly isr = new Set<number>()
  readonly tmr = new Set<number>()
  tpr = 0
  enabled = true

  get deliverable(): boolean {
    const limit = Math.max(this.tpr >> 4, Math.max(-1, ...this.isr) >> 4)
    return this.enabled && Math.max(-1, ...this.irr) >> 4 > limit
  }
}

/** The interrupt system as simply as it can be put. */
class NaiveFabric {
  readonly cpus = Array.from({ length: CPUS }, () => new NaiveCpu())
  readonly low: number[] = new Array<number>(24).fill(MASKED)
  readonly destinations: number[] = new Array<number>(24).fill(0)
  readonly lines = new Set<number>()
  readonly awaited = new Set<number>()

  send(vector: number, destination: number, logical: boolean, level: boolean): boolean {
    let taken = false
    this.cpus.forEach((cpu, id) => {
      const named = destination === 0xff || (logical ? (destination & (1 << id)) !== 0 : destination === id)
      if (!named || !cpu.enabled) return
      cpu.irr.add(vector)
      if (level) cpu.tmr.add(vector)
      else cpu.tmr.delete(vector)
      taken = true
    })
    return taken
  }

  fire(pin: number): boolean {
    const low = this.low[pin]!
    return this.send(low & 0xff, this.destinations[pin]!, (low & LOGICAL) !== 0, (low & LEVEL) !== 0)
  }

  look(pin: number): void {
    const low = this.low[pin]!
    if ((low & MASKED) !== 0 || (low & LEVEL) === 0 || !this.lines.has(pin) || this.awaited.has(pin)) return
    if (this.fire(pin)) this.awaited.add(pin)
  }

  drive(pin: number, up: boolean): void {
    if (this.lines.has(pin) === up) return
    if (!up) this.lines.delete(pin)
    else {
      this.lines.add(pin)
      const low = this.low[pin]!
      if ((low & LEVEL) !== 0) this.look(pin)
      else if ((low & MASKED) === 0) this.fire(pin)
    }
  }

  entry(pin: number, low: number): void {
    this.low[pin] = low
    if ((low & LEVEL) === 0) this.awaited.delete(pin)
    this.look(pin)
  }

  eoi(cpu: NaiveCpu): void {
    const vector = Math.max(...cpu.isr)
    if (!cpu.isr.delete(vector) || !cpu.tmr.has(vector)) return
    for (let pin = 0; pin < 24; pin++) {
      if ((this.low[pin]! & 0xff) === vector && this.awaited.delete(pin)) this.look(pin)
    }
  }
}

const bitsOf = (apic: LocalApic, register: number): string =>
  Array.from({ length: 8 }, (_, i) => apic.read(register + 16 * i).toString(16)).join()
const bitsFrom = (set: Set<number>): string =>
  Array.from({ length: 8 }, (_, i) => {
    let word = 0
    for (const vector of set) if (vector >> 5 === i) word |= 1 << (vector & 31)
    return (word >>> 0).toString(16)
  }).join()

/** Random lines, entries, IPIs, priorities and EOIs on three processors, beside a naive model. */
function randomInterrupts(rng: Rng): string | void {
  const log: string[] = []
  rng.note('steps', () => log.join('\n'))
  // What each vCPU believes: looked up only when it is told to look, and after its own acknowledgement.
  const believed: boolean[] = new Array<boolean>(CPUS).fill(false)
  const fabric: InterruptFabric = new InterruptFabric({
    cpus: CPUS,
    clock: { read() {}, timer: () => ({ armAfter() {}, cancel() {} }) },
    wake: (cpu) => (believed[cpu] = fabric.localApic(cpu).hasInterrupt()),
  })
  const model = new NaiveFabric()
  fabric.localApics.forEach((apic, cpu) => {
    apic.write(irqchip.APIC_SVR, 0x1ff)
    apic.write(irqchip.APIC_LDR, 1 << (24 + cpu))
  })
  const wires = new Map(IRQS.map((irq) => [irq, fabric.line(irq)]))
  // Few vectors, so that they meet.
  const vector = (): number => rng.pick([0x31, 0x32, 0x41, 0x42, 0x51, 0xfe])
  const destination = (): number => rng.pick([0, 1, 2, 3, 5, 7, 0xff])

  for (let step = rng.between(5, 80); step > 0; step--) {
    const id = rng.below(CPUS)
    const apic = fabric.localApic(id)
    const cpu = model.cpus[id]!
    const irq = rng.pick(IRQS)
    switch (rng.below(8)) {
      case 0: {
        const up = rng.chance()
        log.push(`line ${irq} ${up ? 'up' : 'down'}`)
        wires.get(irq)!.set(up)
        model.drive(irq, up)
        break
      }
      case 1: {
        const low =
          vector() | (rng.chance() ? LEVEL : 0) | (rng.chance() ? LOGICAL : 0) | (rng.chance(1, 4) ? MASKED : 0)
        const to = destination()
        log.push(`entry ${irq} = ${low.toString(16)} to ${to}`)
        // The destination first, masked: half-written entries are not what this is about.
        for (const [register, value] of [
          [0, MASKED | (model.low[irq]! & (0xff | LEVEL))],
          [1, to << 24],
          [0, low],
        ] as const) {
          fabric.ioApic.write(0, 0x10 + 2 * irq + register)
          fabric.ioApic.write(0x10, value)
        }
        model.entry(irq, MASKED | (model.low[irq]! & (0xff | LEVEL)))
        model.destinations[irq] = to
        model.entry(irq, low)
        break
      }
      case 2:
      case 3: {
        if (!apic.hasInterrupt()) break
        const got = apic.acknowledge()
        believed[id] = apic.hasInterrupt()
        const best = Math.max(...cpu.irr)
        log.push(`CPU ${id} acknowledges ${got.toString(16)}`)
        if (got !== best) return `CPU ${id} got vector ${got.toString(16)} instead of ${best.toString(16)}`
        cpu.irr.delete(best)
        cpu.isr.add(best)
        break
      }
      case 4:
        log.push(`CPU ${id} ends`)
        apic.write(irqchip.APIC_EOI, 0)
        model.eoi(cpu)
        break
      case 5:
        cpu.tpr = rng.pick([0, 0x35, 0x40, 0xff])
        log.push(`CPU ${id} priority ${cpu.tpr.toString(16)}`)
        if (cpu.tpr === 0x40) apic.cr8 = 4
        else apic.write(irqchip.APIC_TPR, cpu.tpr)
        break
      case 6: {
        const [what, to, logical] = [vector(), destination(), rng.chance()]
        log.push(`CPU ${id} sends ${what.toString(16)} to ${to} ${logical ? 'logical' : 'physical'}`)
        apic.write(irqchip.APIC_ICR2, to << 24)
        apic.write(irqchip.APIC_ICR, what | (logical ? LOGICAL : 0))
        model.send(what, to, logical, false)
        break
      }
      default:
        cpu.enabled = rng.chance(3, 4)
        log.push(`CPU ${id} ${cpu.enabled ? 'on' : 'off'}`)
        apic.write(irqchip.APIC_SVR, cpu.enabled ? 0x1ff : 0xff)
        if (cpu.enabled) for (let pin = 0; pin < 24; pin++) model.look(pin)
    }
    for (const [other, naive] of model.cpus.entries()) {
      if (believed[other] !== naive.deliverable)
        return `CPU ${other} believes ${believed[other]} of a pending interrupt`
      const real = fabric.localApic(other)
      if (real.hasInterrupt() !== naive.deliverable) return `CPU ${other}: deliverable ${!naive.deliverable}`
      if (bitsOf(real, irqchip.APIC_IRR) !== bitsFrom(naive.irr))
        return `CPU ${other}: IRR ${bitsOf(real, irqchip.APIC_IRR)}`
      if (bitsOf(real, irqchip.APIC_ISR) !== bitsFrom(naive.isr))
        return `CPU ${other}: ISR ${bitsOf(real, irqchip.APIC_ISR)}`
      if (bitsOf(real, irqchip.APIC_TMR) !== bitsFrom(naive.tmr))
        return `CPU ${other}: TMR ${bitsOf(real, irqchip.APIC_TMR)}`
    }
    for (const pin of IRQS) {
      fabric.ioApic.write(0, 0x10 + 2 * pin)
      const awaited = (fabric.ioApic.read(0x10) & 0x4000) !== 0
      if (awaited !== model.awaited.has(pin)) return `input ${pin}: remote IRR ${awaited}`
    }
  }
}

/** Interrupts of all sorts on three processors, beside a naive model of theirs. */
export const soak: Soak = { name: 'irqchip', count: 5000, step: randomInterrupts }
