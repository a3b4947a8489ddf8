/** A processor of no known architecture, and its domain: what another instruction set has to bring. */
import { STATUS_DONE, STATUS_RESTART, STATUS_RETRY } from '@retrap/ioreq'
import type { InterruptLine } from '@retrap/device'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE } from '@retrap/p2m'
import type { Architecture, CpuExit, Domain, VirtualCpu, VirtualProcessor } from '../../src/index.ts'

/** Operations: a byte, and an operand of four. */
export const Op = {
  /** Loads the accumulator from an address. */
  LOAD: 1,
  /** Stores the accumulator at an address. */
  STORE: 2,
  /** Adds a number to the accumulator. */
  ADD: 3,
  /** Waits for an interrupt, takes it, and goes on at an address. */
  WAIT: 4,
} as const

const INSTRUCTION_BYTES = 5
/** An access that has to be made again. */
const AGAIN = -1

/** Encodes a program. */
export function assemble(...code: readonly (readonly [op: number, operand: number])[]): Uint8Array {
  const bytes = new Uint8Array(code.length * INSTRUCTION_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, [op, operand]] of code.entries()) {
    view.setUint8(i * INSTRUCTION_BYTES, op)
    view.setUint32(i * INSTRUCTION_BYTES + 1, operand, true)
  }
  return bytes
}

/** Executes instructions of one access each, which are made again as a whole when the access has to wait. */
class ToyProcessor implements VirtualProcessor {
  retired = 0
  /** Each instruction costs one. */
  get cost(): number {
    return this.retired
  }
  busy = false
  pc = 0
  accumulator = 0
  waiting = false
  interrupt = false
  readonly #id: number
  readonly #domain: Domain
  #stopped = false
  /** The request of the access under way has been sent. */
  #sent = false

  constructor(id: number, domain: Domain) {
    this.#id = id
    this.#domain = domain
  }

  run(budget: number): CpuExit {
    this.#stopped = false
    for (let left = budget; left > 0; left--) {
      if (this.waiting && !this.interrupt) return { reason: 'waits for an interrupt' }
      if (!this.#step()) return { reason: 'blocked' }
      if (this.#stopped) return { reason: 'pause' }
    }
    return { reason: 'budget' }
  }

  settle(): CpuExit | undefined {
    return !this.busy || this.#step() ? undefined : { reason: 'blocked' }
  }

  stop(): void {
    this.#stopped = true
  }

  cancel(): void {
    if (this.#sent) this.#domain.dispatch.requests.cancel(this.#id)
    this.#sent = false
    this.busy = false
  }

  /** Executes an instruction. @returns false if it has to wait */
  #step(): boolean {
    const at = this.#ram(this.pc, P2M_EXECUTE)
    this.busy = at < 0
    if (at < 0) return false
    const { u8, buffer } = this.#domain.memory
    const operand = new DataView(buffer).getUint32(at + 1, true)
    let next = this.pc + INSTRUCTION_BYTES
    switch (u8[at]) {
      case Op.LOAD: {
        const value = this.#access(operand, P2M_READ)
        if (value === AGAIN) return false
        this.accumulator = value
        break
      }
      case Op.STORE:
        if (this.#access(operand, P2M_WRITE) === AGAIN) return false
        break
      case Op.ADD:
        this.accumulator = (this.accumulator + operand) >>> 0
        break
      default:
        if (this.waiting) next = operand
        this.interrupt &&= !this.waiting
        this.waiting = !this.waiting
        if (this.waiting) next = this.pc
    }
    this.pc = next
    this.retired++
    return true
  }

  /** Machine address of RAM; −1 to make the access again later, −2 where a device is. */
  #ram(gpa: number, wanted: number): number {
    const { p2m, secondLevel } = this.#domain
    const translated = (): number => (wanted === P2M_WRITE ? p2m.translateWrite(gpa) : p2m.translate(gpa))
    if (translated() >= 0) return translated()
    const outcome = secondLevel.fault(this.#id, gpa, wanted)
    return outcome === STATUS_DONE ? translated() : outcome === STATUS_RESTART ? -2 : -1
  }

  #access(gpa: number, wanted: number): number {
    const { dispatch, memory } = this.#domain
    const write = wanted === P2M_WRITE
    let status: number
    if (this.#sent) status = dispatch.requests.take(this.#id)
    else {
      const ma = this.#ram(gpa, wanted)
      this.busy = ma === -1
      if (this.busy) return AGAIN
      const view = new DataView(memory.buffer)
      if (ma >= 0 && write) view.setUint32(ma, this.accumulator, true)
      if (ma >= 0) return view.getUint32(ma, true)
      status = write
        ? dispatch.mmioWriteOrSend(this.#id, gpa, 4, this.accumulator, 0)
        : dispatch.mmioReadOrSend(this.#id, gpa, 4)
    }
    this.#sent = status === STATUS_RETRY
    this.busy = this.#sent
    return this.busy ? AGAIN : dispatch.lo
  }
}

export class ToyVcpu implements VirtualCpu {
  readonly id: number
  readonly cpu: ToyProcessor
  turns = 0

  constructor(id: number, domain: Domain) {
    this.id = id
    this.cpu = new ToyProcessor(id, domain)
  }

  get dormant(): boolean {
    return this.cpu.waiting && !this.cpu.interrupt
  }

  turnEnded(): void {
    this.turns++
  }

  // It translates afresh with each access.
  mapChanged(): void {}

  watchWrites(): void {}

  cancelRequest(): void {
    this.cpu.cancel()
  }

  reset(): void {
    this.cpu.pc = 0
    this.cpu.waiting = false
    this.cpu.interrupt = false
  }
}

/** vCPUs whose one interrupt all lines and messages pulse: line n that of vCPU n. */
export class ToyArchitecture implements Architecture<ToyVcpu> {
  readonly vcpus: readonly ToyVcpu[]
  readonly #domain: Domain

  constructor(domain: Domain, vcpus: number) {
    this.#domain = domain
    this.vcpus = Array.from({ length: vcpus }, (_, id) => new ToyVcpu(id, domain))
  }

  #interrupt(id: number): void {
    const vcpu = this.vcpus[id]
    if (vcpu === undefined) return
    vcpu.cpu.interrupt = true
    this.#domain.wake()
  }

  interruptLine(irq: number): InterruptLine {
    return { set: (level) => level && this.#interrupt(irq), pulse: () => this.#interrupt(irq) }
  }

  pciInterrupt(device: number): InterruptLine {
    return this.interruptLine(device)
  }

  signalMsi(_address: number, data: number): void {
    this.#interrupt(data)
  }

  reset(): void {}
}
