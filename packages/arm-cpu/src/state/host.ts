import type { CodeTranslation } from '@retrap/engine'
import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { ArmCpuError } from '../errors.ts'
import { FSC_TRANSLATION } from './syndrome.ts'

/** The result of {@link ArmHost.translate}. */
export interface ArmTranslation extends CodeTranslation {
  /**
   * Machine address of the byte where plain memory holds it, at the same distance from the beginning of a page. Else −1: the
   * access ends with an external abort.
   */
  ma: number
  /** May be written. */
  writable: boolean
  /** May go into the TLB. */
  cacheable: boolean
  /** Whether the translation is valid in all address spaces. */
  global: boolean
  /** Bytes of the page that the guest's tables map. */
  pageBytes: number
  /** 1: the page is guarded, as bit GP of its descriptor says: BR and BLR lead to landings (FEAT_BTI). Else 0. */
  key: number
  /** The memory is of a Device type: accesses must be aligned. Told of a fault of stage 2, too. */
  device: boolean
  /** Stage 1 memory attributes in MAIR_EL1's encoding, for PAR_EL1. */
  attributes: number
  /** Intermediate physical address of the byte, where stage 1 has one; with `tableWalk` of a table's entry. */
  ipa: number
  /** Why there is no translation: a fault status code of an abort's syndrome. */
  faultStatus: number
  /** Whether the fault is a stage 2 fault, which is taken to EL2. */
  stage2: boolean
  /** Whether a stage 1 table walk caused the fault. */
  tableWalk: boolean
}

/** Bits that describe a translated access, equal to `ARM_*` of `@retrap/paging`. No bits: a read. */
export const TRANSLATE_READ = 0
/** A write. */
export const TRANSLATE_WRITE = 1
/** A fetch of an instruction. */
export const TRANSLATE_FETCH = 2
/** With the rights of EL0. */
export const TRANSLATE_UNPRIVILEGED = 4
/** PSTATE.PAN is set: EL1 may not access memory that EL0 may access. */
export const TRANSLATE_PAN = 8

/** The virtual counter of the generic timer, which programs read the time from. */
export interface ArmCounter {
  /** Ticks in a second: CNTFRQ_EL0. */
  readonly frequency: number
  /** Ticks until now: CNTVCT_EL0. */
  count(): bigint
}

/** A 64-bit value as two words. */
export interface SystemValue {
  /** Low word, unsigned. */
  lo: number
  /** High word, unsigned. */
  hi: number
}

/** The world around a processor. */
export interface ArmHost {
  /** The counter; the registers of a processor without one are undefined. */
  readonly counter?: ArmCounter
  /**
   * Whether the system registers of a GICv3's interface are among those of the host, as ID_AA64PFR0_EL1.GIC says. Default true.
   */
  readonly hasInterruptRegisters?: boolean
  /**
   * Reads a system register that the processor does not have: of an interrupt controller, of timers. Those of EL0 have op1 3.
   *
   * @param encoding - op0, op1, CRn, CRm and op2 in one number of 16 bits
   * @param into - filled in
   * @returns STATUS_DONE; STATUS_UNHANDLED: there is no such register, or not this way, and the instruction is undefined;
   *   STATUS_FAULT: the access is trapped to EL2
   */
  readSystem?(encoding: number, into: SystemValue): number
  /**
   * Writes a system register. Also called for CNTKCTL_EL1, which the processor holds.
   *
   * @returns as {@link ArmHost.readSystem}
   */
  writeSystem?(encoding: number, lo: number, hi: number): number
  /** SEV: the other processors are to see an event, `ArmCpu.signalEvent`. */
  eventSent?(): void
  /** Registers that translation depends on may have changed: SCTLR_EL1, TCR_EL1, TTBR0_EL1, TTBR1_EL1, MAIR_EL1. */
  controlChanged?(): void
  /**
   * Translates one byte's address.
   *
   * @param lo - low word of the virtual address, unsigned
   * @param hi - high word
   * @param access - `TRANSLATE_*`
   * @param into - receives the result; fields unknown to a host stay unchanged
   * @returns whether a translation exists; otherwise `faultStatus` holds the reason
   */
  translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean
}

/** Makes the result of a translation, for its owner to reuse. */
export function newTranslation(): ArmTranslation {
  return {
    ma: -1,
    writable: false,
    cacheable: false,
    global: false,
    pageBytes: PAGE_BYTES,
    key: 0,
    device: false,
    attributes: 0xff,
    ipa: 0,
    faultStatus: 0,
    stage2: false,
    tableWalk: false,
  }
}

/**
 * Asks the host for a translation.
 *
 * @throws ArmCpuError `ERR_TRANSLATION` for a result outside machine memory, or of another byte
 */
export function translate(
  host: ArmHost,
  memory: MachineMemory,
  lo: number,
  hi: number,
  access: number,
  into: ArmTranslation,
): boolean {
  if (!host.translate(lo, hi, access, into)) return false
  const { ma } = into
  const isSound = Number.isInteger(ma) && ma < memory.byteLength && ((ma ^ lo) & (PAGE_BYTES - 1)) === 0
  if (isSound || ma < 0) return true
  throw new ArmCpuError('ERR_TRANSLATION', `machine address ${ma} for a virtual address whose low word is ${lo}`)
}

/** The plainest world for a processor: RAM at one address, and nothing else. Other addresses give translation faults. */
export class FlatHost implements ArmHost {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** Address of the first byte of RAM, below 2^32. */
  readonly start: number
  /** Bytes of RAM. */
  readonly bytes: number
  readonly #ma: number

  /**
   * @param start - address of the first byte of RAM: a multiple of 4096 below 2^32
   * @param bytes - of RAM, a multiple of 4096, not 0
   * @param ramMa - machine address of RAM that is there already, as a processor beside others has it; new RAM where it is left out
   * @throws ArmCpuError `ERR_RAM` if these are invalid
   * @throws MemoryError if machine memory is full
   */
  constructor(memory: MachineMemory, start: number, bytes: number, ramMa?: number) {
    const fits = (value: number): boolean => Number.isInteger(value) && value >= 0 && value % PAGE_BYTES === 0
    if (!fits(start) || !fits(bytes) || bytes === 0 || start + bytes > 2 ** 32) {
      throw new ArmCpuError('ERR_RAM', `RAM of ${bytes} bytes at ${start}: expected whole pages below 2^32`)
    }
    this.memory = memory
    this.start = start
    this.bytes = bytes
    this.#ma = ramMa ?? memory.allocate(bytes, PAGE_BYTES, 'RAM')
  }

  /** Machine address of an address of RAM; −1 outside. */
  ramAddress(address: number): number {
    return address >= this.start && address < this.start + this.bytes ? this.#ma + address - this.start : -1
  }

  /**
   * Writes RAM like a device, so that decoded code is dropped.
   *
   * @throws MemoryError if some byte lies outside machine memory
   */
  load(address: number, bytes: Uint8Array): void {
    this.memory.write(this.ramAddress(address), bytes)
  }

  /** Finds an address in RAM. */
  translate(lo: number, hi: number, _access: number, into: ArmTranslation): boolean {
    into.ma = hi === 0 ? this.ramAddress(lo) : -1
    into.writable = true
    into.cacheable = true
    into.faultStatus = FSC_TRANSLATION | 3
    return into.ma >= 0
  }
}
