import * as apicRegisters from './apic-registers.ts'
import { wideDestination } from './apic-registers.ts'
import { IrqchipError } from './arguments.ts'
import type { LocalApic } from './local-apic.ts'
import type { LocalApicBus } from './local-apic-options.ts'

const NO_SHORTHAND = 0
const SELF = 1
const ALL = 2
const ALL_BUT_SELF = 3

/** Receives EOIs and second chances: the side of an I/O APIC that the bus reaches. */
export interface IoApicPort {
  /** An EOI was broadcast. */
  eoi(vector: number): void
  /** Tries messages again that no local APIC took. */
  retry(): void
}

/**
 * Connects the local APICs with each other, with the I/O APIC and with messages from devices.
 *
 * Source: Intel SDM vol. 3A, "Issuing Interprocessor Interrupts", "Interrupt Distribution", "Message Signalled
 * Interrupts".
 */
export class ApicBus implements LocalApicBus {
  readonly #apics: LocalApic[] = []
  /** Makes a vCPU check its events. */
  readonly wake: (cpu: number) => void
  /** Fetches the vector of the i8259. */
  readonly acknowledgePic: () => number
  #ioapic: IoApicPort | null = null
  /** First APIC of the next lowest-priority arbitration among equals. */
  #turn = 0

  /** @param wake - makes a vCPU check its events
   * @param acknowledgePic - fetches the vector of the i8259 */
  constructor(wake: (cpu: number) => void, acknowledgePic: () => number) {
    this.wake = wake
    this.acknowledgePic = acknowledgePic
  }

  /** Adds a local APIC. */
  add(apic: LocalApic): void {
    this.#apics.push(apic)
  }

  /** Connects the I/O APIC. */
  connect(ioapic: IoApicPort): void {
    this.#ioapic = ioapic
  }

  /** Broadcasts an EOI to the I/O APIC. */
  broadcastEoi(vector: number): void {
    this.#ioapic?.eoi(vector)
  }

  /** Makes the I/O APIC retry its level-triggered interrupts. */
  receptionChanged(): void {
    this.#ioapic?.retry()
  }

  /** Sends an interprocessor interrupt; see {@link LocalApicBus.sendIpi}. */
  sendIpi(cpu: number, icr: number, destination: number): void {
    const mode = (icr >>> 8) & 7
    const vector = icr & 0xff
    // The level de-assertion of INIT only synchronised arbitration IDs, on buses that are gone.
    if (
      mode === apicRegisters.DM_INIT &&
      (icr & apicRegisters.ICR_TRIGGER_LEVEL) !== 0 &&
      (icr & apicRegisters.ICR_LEVEL_ASSERT) === 0
    )
      return
    // ExtINT cannot be sent by a processor.
    if (mode === apicRegisters.DM_EXTINT) return
    const source = this.#of(cpu)
    const shorthand = (icr >>> 18) & 3
    if (shorthand === NO_SHORTHAND) {
      this.send(mode, vector, destination, (icr & apicRegisters.ICR_LOGICAL) !== 0, false)
      return
    }
    if (shorthand === SELF) {
      deliver(source, mode, vector, false)
      return
    }
    if (mode === apicRegisters.DM_LOWEST) {
      this.#lowest(apicRegisters.DESTINATION_ALL, false, vector, false, shorthand === ALL_BUT_SELF ? source : null)
      return
    }
    for (const apic of this.#apics) {
      if (apic.present && (shorthand === ALL || apic !== source)) deliver(apic, mode, vector, false)
    }
  }

  #of(cpu: number): LocalApic {
    for (const apic of this.#apics) if (apic.cpu === cpu) return apic
    throw new IrqchipError('ERR_INVALID', `vCPU ${cpu} has no local APIC on this bus`)
  }

  /**
   * Sends a message to all APICs selected by `destination`, or to one of them (lowest priority).
   *
   * @param destination - in x2APIC width
   * @param level - the interrupt is level-triggered: its EOI is broadcast
   * @returns whether any APIC accepted the interrupt
   */
  send(mode: number, vector: number, destination: number, logical: boolean, level: boolean): boolean {
    if (mode === apicRegisters.DM_LOWEST) return this.#lowest(destination, logical, vector, level, null)
    let taken = false
    for (const apic of this.#apics) {
      if (apic.matches(destination, logical) && deliver(apic, mode, vector, level)) taken = true
    }
    return taken
  }

  /** Lowest-priority arbitration among the APICs that are enabled; equals take turns. */
  #lowest(destination: number, logical: boolean, vector: number, level: boolean, except: LocalApic | null): boolean {
    const apics = this.#apics
    let best: LocalApic | null = null
    let bestAt = 0
    for (let i = 0; i < apics.length; i++) {
      const at = (this.#turn + i) % apics.length
      const apic = apics[at]!
      if (apic === except || !apic.arbitrates || !apic.matches(destination, logical)) continue
      if (best === null || apic.processorPriority < best.processorPriority) {
        best = apic
        bestAt = at
      }
    }
    if (best === null) return false
    this.#turn = (bestAt + 1) % apics.length
    return deliver(best, apicRegisters.DM_FIXED, vector, level)
  }

  /**
   * A write to a message address (0xFEExxxxx).
   *
   * Source: Intel SDM vol. 3A, "Message Address Register Format", "Message Data Register Format".
   *
   * @returns whether any APIC took it; false too for an address that is no message address
   */
  signalMsi(address: number, data: number): boolean {
    if (address < 0xfee0_0000 || address > 0xfeef_ffff) return false
    const destination = (address >>> 12) & 0xff
    const logical = (address & 4) !== 0
    // The redirection hint turns a fixed message into one for the APIC of lowest priority.
    const redirected = (address & 8) !== 0
    const mode = (data >>> 8) & 7
    return this.send(
      redirected && mode === apicRegisters.DM_FIXED ? apicRegisters.DM_LOWEST : mode,
      data & 0xff,
      wideDestination(destination),
      logical,
      (data & 0x8000) !== 0 && (mode === apicRegisters.DM_FIXED || mode === apicRegisters.DM_LOWEST),
    )
  }

  /** Index of the APIC at which the next lowest-priority arbitration among equals begins. */
  get turn(): number {
    return this.#turn
  }
  set turn(value: number) {
    this.#turn = value
  }
}

function deliver(apic: LocalApic, mode: number, vector: number, level: boolean): boolean {
  switch (mode) {
    case apicRegisters.DM_FIXED:
    case apicRegisters.DM_LOWEST:
      return apic.accept(vector, level)
    case apicRegisters.DM_SMI:
      apic.smi()
      return true
    case apicRegisters.DM_NMI:
      apic.nmi()
      return true
    case apicRegisters.DM_INIT:
      apic.init()
      return true
    case apicRegisters.DM_STARTUP:
      apic.sipi(vector)
      return true
    case apicRegisters.DM_EXTINT:
      apic.extInt()
      return true
    default:
      return false
  }
}
