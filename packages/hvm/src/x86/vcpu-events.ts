import { EVENT_EXTINT, EVENT_INIT, EVENT_INTERRUPT, EVENT_NMI, EVENT_SIPI, EVENT_SMI } from '@retrap/irqchip'
import type { LocalApic } from '@retrap/irqchip'
import type { Vcpu } from '@retrap/x86-cpu'
import type { X86Surroundings } from './surroundings.ts'

/** The way of interrupts from a local APIC and a paravirtual interface to their processor. */
export class VcpuEvents {
  readonly #id: number
  readonly #cpu: Vcpu
  readonly #apic: LocalApic
  readonly #world: X86Surroundings
  readonly #cancelRequest: () => void

  /** @param cancelRequest - forgets the vCPU's request in flight: an INIT has arrived */
  constructor(id: number, cpu: Vcpu, apic: LocalApic, world: X86Surroundings, cancelRequest: () => void) {
    this.#id = id
    this.#cpu = cpu
    this.#apic = apic
    this.#world = world
    this.#cancelRequest = cancelRequest
  }

  /** Hands the local APIC's events over to the processor; to be called when they may have changed. */
  update(): void {
    const apic = this.#apic
    const cpu = this.#cpu
    const { paravirtual } = this.#world
    paravirtual?.eventsChanged(this.#id)
    const events = apic.events()
    // INIT waits for RSM; a start-up IPI does not, and is lost.
    const managed = cpu.inSystemManagement
    if ((events & EVENT_INIT) !== 0 && !managed && apic.takeInit()) {
      this.#cancelRequest()
      cpu.init()
      paravirtual?.apicReset(this.#id)
    }
    if ((events & EVENT_SIPI) !== 0) {
      const vector = apic.takeSipi()
      if (vector >= 0 && !managed) {
        cpu.startup(vector)
        paravirtual?.started(this.#id)
      }
    }
    if ((events & EVENT_SMI) !== 0 && apic.takeSmi()) cpu.smi()
    if ((events & EVENT_NMI) !== 0 && apic.takeNmi()) cpu.nmi()
    const callback = paravirtual?.pendingVector(this.#id) ?? 0
    cpu.setInterruptPending((events & (EVENT_INTERRUPT | EVENT_EXTINT)) !== 0 || callback !== 0)
  }

  /** Takes the interrupt that is to be delivered. @returns its vector, or −1 if there is none any more */
  acknowledge(): number {
    const { paravirtual } = this.#world
    const callback = paravirtual?.pendingVector(this.#id) ?? 0
    if (callback !== 0) return callback
    // A guest that keeps its task priority in its own memory may have raised it since, or have handled its events.
    if ((this.#apic.record !== null || paravirtual !== null) && !this.#apic.hasInterrupt()) {
      this.update()
      return -1
    }
    const vector = this.#apic.acknowledge()
    this.update()
    return vector
  }
}
