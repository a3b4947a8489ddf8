import type { Word64 } from '@retrap/device'
import { checkFrequency, checkInteger, checkMethod, checkObject, type StateRegion } from './arguments.ts'
import type { ApicClock } from './time.ts'

/** Connects a local APIC with the rest of the interrupt system. */
export interface LocalApicBus {
  /**
   * Sends an interprocessor interrupt.
   *
   * @param cpu - the sender's vCPU
   * @param icr - low word of the interrupt command register
   * @param destination - in x2APIC width
   */
  sendIpi(cpu: number, icr: number, destination: number): void
  /** A level-triggered interrupt has ended. */
  broadcastEoi(vector: number): void
  /** Fetches the i8259's vector: an INTA cycle. */
  acknowledgePic(): number
  /** The value of `events` has changed: the vCPU must look. Also called where an interrupt can no longer be delivered. */
  wake(cpu: number): void
  /** Called when an APIC may accept interrupts that it refused before, or has a new address: level-triggered ones are retried. */
  receptionChanged(): void
}

/**
 * A guest's own copy of its task priority, in its memory. The guest changes it without an exit, and finds there whether
 * the change makes a difference. See `LocalApic.useRecord`.
 */
export interface TaskPriorityRecord {
  /** Reads the task priority, 8 bits. */
  read(): number
  /** Writes the task priority, 8 bits. */
  write(taskPriority: number): void
  /**
   * Publishes the values that the guest compares a new task priority with.
   *
   * @param inService - bits 7:4 of the highest vector in service; 0: none
   * @param pending - the highest pending vector; 0: none
   */
  publish(inService: number, pending: number): void
}

/** Options of a {@link LocalApic}. */
export interface LocalApicOptions {
  /** Index of the vCPU. */
  readonly cpu: number
  /** APIC ID; default the index. */
  readonly apicId?: number
  /** Whether the APIC is that of the bootstrap processor. */
  readonly bootstrap: boolean
  /** Bus to the other controllers. */
  readonly bus: LocalApicBus
  /** The machine's clock. */
  readonly clock: ApicClock
  /** Frequency that the timer divides. Default 1 GHz. */
  readonly timerHz?: number
  /** TSC frequency, for the deadline mode. Default 1 GHz. */
  readonly tscHz?: number
  /**
   * Reads the time at which the vCPU's TSC reaches a value: nanoseconds of the clock, 64 bits; a time that has passed if it
   * has. Default: a TSC that was 0 at time 0.
   */
  tscToNs?(lo: number, hi: number, into: Word64): void
  /** Whether the APIC has x2APIC mode. Default true. */
  readonly x2apic?: boolean
  /** LVT entry for corrected machine checks. Default false. */
  readonly cmci?: boolean
  /** EOI broadcasts can be suppressed. Default true. */
  readonly directedEoi?: boolean
  /** Physical-address bits, for the checks of IA32_APIC_BASE. Default 40. */
  readonly physicalBits?: number
  /** {@link LOCAL_APIC_STATE_BYTES} bytes for the state; default a new buffer. */
  readonly state?: StateRegion
  /** A further view of an APIC that is there already, from another thread: see {@link LocalApic.isDetached}. Default false. */
  readonly attached?: boolean
}

/** @throws IrqchipError `ERR_INVALID` for an option of the wrong type or out of range */
export function checkLocalApicOptions(options: LocalApicOptions): void {
  checkObject('options', options)
  checkInteger('cpu', options.cpu, 0, 0xffff_fffe)
  checkInteger('apicId', options.apicId ?? options.cpu, 0, 0xffff_fffe)
  checkObject('clock', options.clock)
  checkMethod(options.clock, 'read')
  checkMethod(options.clock, 'timer')
  checkObject('bus', options.bus)
  checkFrequency('timerHz', options.timerHz)
  checkFrequency('tscHz', options.tscHz)
  checkMethod(options, 'tscToNs', 'optional')
  checkInteger('physicalBits', options.physicalBits ?? 40, 32, 52)
}
