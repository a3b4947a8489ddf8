import type { AccessLog } from '@retrap/replay'

/** In {@link Translation.key}: PKRU has the rights of the key, otherwise IA32_PKRS. */
export const KEY_USER = 16

/**
 * Beside the `ACCESS_*` of `@retrap/paging`: the TLB has an entry of the page, and the host alone is asked, for what is behind it. A and
 * D bits were set when the entry was made, and the guest may have cleared them since.
 */
export const ACCESS_RESIDENT = 0x10_0000

/** The mapping of a linear page: filled in by {@link CpuHost.translate}. Caller-owned, numbers only. */
export interface Translation {
  /** Guest-physical address of the byte. */
  gpa: number
  /** Machine address of the byte where plain RAM or ROM backs it, else -1: a device. */
  ma: number
  /** The page may be cached for writing: RAM, and dirty bit set. False for ROM, whose writes go to {@link CpuHost.romWrite}. */
  writable: boolean
  /** May be cached at all. */
  cacheable: boolean
  /** The page is global. */
  global: boolean
  /** Bytes of the page that the guest's tables map, 4096 and up. */
  pageBytes: number
  /** Protection key of the page, 0–15, and {@link KEY_USER} for a user's page: which of PKRU and IA32_PKRS has its rights. */
  key: number
  /** #PF error code where the status is fault. */
  errorCode: number
}

/** A 64-bit value as two words. */
export interface Words {
  /** Low 32 bits. */
  lo: number
  /** High 32 bits. */
  hi: number
}

/** `type` and `direction` of an {@link AccessRecord}, as in `ioreq_t` of Xen's public/hvm/ioreq.h. */
export const IOREQ_PIO = 0
export const IOREQ_COPY = 1
export const IOREQ_WRITE = 0
export const IOREQ_READ = 1

/**
 * The access of a processor that a device takes its time for. The host has one record for each processor, and keeps it: the answer
 * is in `lo`, `hi` and `made`, where the next pass reads it.
 *
 * The other fields, of `ioreq_t`, describe the request. The processor fills them in for several iterations of a string instruction
 * between a device and RAM: `address` is the first element's at the device, all elements in RAM lie in one frame.
 */
export interface AccessRecord extends Words {
  /** `IOREQ_PIO` or `IOREQ_COPY`: a port, or guest-physical addresses. */
  type: number
  /** Whether the device is written or read: `IOREQ_WRITE` or `IOREQ_READ`. */
  direction: number
  /** The port, or bits 31:0 of the guest-physical address. */
  addressLo: number
  /** Bits 63:32 of the address. */
  addressHi: number
  /** Bits 31:0 of the value to store, or of the guest-physical address of the first element in RAM. */
  dataLo: number
  /** Bits 63:32 of either. */
  dataHi: number
  /** Elements. */
  count: number
  /** Bytes of an element: 1, 2, 4 or 8. */
  size: number
  /** Addresses go downwards, on both sides. */
  df: boolean
  /** `data` is the address of the elements, not a value. */
  dataIsPointer: boolean
  /** Elements that have been made. */
  made: number
}

/** A page of registers of 32 bits, at multiples of 16, some of which are words in machine memory. */
export interface RegisterPage {
  /** Machine address of up to 64 words, one for each register. */
  ma: number
  /** Bit i: a read of the register at offset 16 · i has no effect, and returns its word. Registers 0 to 31. */
  storedLo: number
  /** The same for registers 32 to 63. */
  storedHi: number
}

/**
 * The world around a CPU. One per vCPU. An access has one of four statuses: STATUS_DONE; STATUS_FAULT, an
 * exception of the guest's; STATUS_RETRY, its device has been asked; STATUS_RESTART, it was not logged and has to be. A VMCALL has STATUS_CONTINUE, too. Nothing may throw.
 */
export interface CpuHost {
  /** The record of this processor's access. */
  readonly record: AccessRecord
  /**
   * Guest page walk and second-level look-up for one byte; sets A and D bits. `access` as `ACCESS_*` of `@retrap/paging`, and
   * {@link ACCESS_RESIDENT}. In a logged pass `log` records the reads of the walk and answers them again.
   *
   * @returns STATUS_DONE; STATUS_FAULT with `into.errorCode`; STATUS_RETRY; STATUS_RESTART, with a translation that is kept where
   *   `into.ma` is not −1
   */
  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number
  /**
   * Finds what is behind a guest-physical address that the processor accesses by itself: PDPTEs, the state save area.
   * `access` and `into` as in {@link CpuHost.translate}; `into.cacheable`, `global` and `pageBytes` do not matter. Without
   * it, {@link CpuHost.ramAddress} is asked, and nothing is waited for.
   *
   * @returns STATUS_DONE; STATUS_RETRY, or outside a logged pass STATUS_RESTART, where memory is to come first
   */
  translatePhysical?(gpa: number, access: number, into: Translation, log: AccessLog | null): number
  /** Machine address of the plain RAM that backs a guest-physical address for writing, or -1. */
  ramAddress(gpa: number): number
  /** Machine address of the RAM that backs a guest-physical address now, or -1. Changes nothing. Default -1. */
  peekAddress?(gpa: number): number
  /**
   * Reads 1, 2, 4 or 8 bytes of what is not RAM.
   *
   * @param logged - the access is of a logged pass
   * @returns STATUS_DONE; STATUS_RETRY: a device has been asked, and {@link CpuHost.answer} is next; STATUS_RESTART, with
   *   nothing done, of an access that is not logged and has to be
   */
  physicalRead(gpa: number, size: number, into: Words, logged: boolean): number
  /**
   * Describes the page of a guest-physical address that is no RAM, if it has registers that generated code can read by
   * itself. The description holds until the TLB is flushed.
   *
   * @returns false: it has none
   */
  registerPage?(gpa: number, into: RegisterPage): boolean
  /** Writes 1, 2, 4 or 8 bytes of what is not RAM. */
  physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean): number
  /**
   * A store to what is memory but may not be written: 1, 2, 4 or 8 bytes, told of when the instruction has retired.
   * Without it, such stores are lost.
   */
  romWrite?(gpa: number, size: number, lo: number, hi: number): void
  /** IN: 1, 2 or 4 bytes. */
  portRead(port: number, size: number, into: Words, logged: boolean): number
  /** Serves OUT of 1, 2 or 4 bytes. */
  portWrite(port: number, size: number, value: number, logged: boolean): number
  /**
   * Makes the iterations of a string instruction that {@link CpuHost.record} describes; of those, `made` of it says how many there
   * were, 0 if they are to be made one by one. Without it, they always are.
   *
   * @returns STATUS_DONE or STATUS_RETRY
   */
  repeat?(): number
  /**
   * Takes the answer to the access, or the request for several iterations, that a device was asked for last: it is in
   * {@link CpuHost.record} then.
   *
   * @returns STATUS_DONE; STATUS_RETRY while there is none
   */
  answer(): number
  /**
   * Whether a device answers each access of `size` bytes among these `bytes` at once, and none of them has to be logged.
   * Several iterations that move data between two such places are made in one pass, and so is IN or OUT where more than the
   * device can be in the way. Without it, nobody answers so.
   *
   * @param port - `address` is a port, not a guest-physical address
   */
  answersAtOnce?(port: boolean, address: number, bytes: number, size: number): boolean
  /** MSRs that the CPU does not hold itself. STATUS_FAULT becomes #GP(0). */
  readMsr(index: number, into: Words): number
  /** Writes an MSR that the CPU does not hold itself; STATUS_FAULT becomes #GP(0). */
  writeMsr(index: number, lo: number, hi: number): number
  /** May change what the CPU reports about itself: `into` holds EAX, EBX, ECX, EDX as the CPU knows them. */
  cpuid(leaf: number, subleaf: number, into: Uint32Array): void
  /**
   * VMCALL / VMMCALL. STATUS_FAULT becomes #UD; with STATUS_CONTINUE the instruction is not finished and comes again,
   * with the registers as they are now.
   */
  hypercall(): number
  /** Time-stamp counter before TSC offset. */
  timestamp(into: Words): void
  /** The guest has moved its time-stamp counter against the host's: IA32_TIME_STAMP_COUNTER or IA32_TSC_ADJUST was written. */
  timeStampMoved?(): void
  /** Supplies 64 random bits for RDRAND and RDSEED. */
  random(into: Words): void
  /** Takes the highest pending maskable interrupt. @returns its vector, or -1 if it has gone */
  acknowledgeInterrupt(): number
  /** CR8 as the local APIC's task priority. */
  readTaskPriority(): number
  /** Writes the local APIC’s task priority as CR8 has it. */
  writeTaskPriority(value: number): void
  /** CR0, CR3, CR4, EFER or the PDPTEs have changed: paging is set up again. `what` as `CONTROL_*`. */
  controlChanged(): void
  /**
   * The access in the middle is forgotten: if it waits for a device, its answer is to be dropped when it comes; if it waits for
   * memory, nobody does any more.
   */
  cancelled?(): void
  /**
   * FERR#: an x87 exception is pending before an instruction that waits for it, and CR0.NE is clear. The processor then
   * stands still until an interrupt, which a PC makes of it. Without it, the exception is #MF whatever CR0.NE says.
   */
  numericError?(): void
  /** A vCPU that waited in MWAIT can go on: the line that it monitors has been written, or its translation may have changed. */
  monitorTriggered?(): void
  /**
   * An SMI comes before the next instruction. @returns true: the run ends before its delivery, as the host executes
   * system-management mode elsewhere
   */
  smiIsDue?(): boolean
  /** RSM has left system-management mode: INIT is no longer held off. */
  systemManagementLeft?(): void
  /** `Vcpu.stop` has been called, or another thread has. @returns whether the run goes on: the host has done what there was to do */
  called?(): boolean
  /** PAUSE: what looks like a spin loop. */
  pause(): void
  /**
   * The guest drops translations; the CPU has forgotten its own, and the host does so with its paging-structure cache.
   *
   * @param scope - `Invalidate` of `@retrap/paging`
   * @param pcid - for an address or one address space; 0 without CR4.PCIDE
   */
  invalidate(scope: number, pcid: number, lo: number, hi: number): void
}

/** Flags word of a memory or port access: the size in bytes in bits 7:0, then these. */
export const SLOW_WRITE = 0x100
/** A read whose location the same instruction will write: write permission is checked. */
export const SLOW_MODIFY = 0x200
/** Nothing can fail after this access and it is the only one: a synchronous device may be called straight through. */
export const SLOW_DIRECT = 0x400
/** The address is relative to SS: a non-canonical one is #SS. */
export const SLOW_STACK = 0x800
/** Implicit supervisor access, whatever the CPL. */
export const SLOW_IMPLICIT = 0x1000
/** Only check the translation: nothing is read or written. */
export const SLOW_PROBE = 0x2000
/**
 * Of a locked instruction, with SLOW_MODIFY and with SLOW_WRITE: what is between the two is done while no other thread executes. Not
 * where generated code finds the operand afterwards, and exchanges it at once.
 */
export const SLOW_LOCKED = 0x4000
/**
 * Several pushes (with SLOW_WRITE) or pops in one access. Bits 18:16 hold the logarithm of the size of each, which is at
 * least 2. A device receives them one by one, in the processor's order: pushes from the highest address down.
 */
export const SLOW_PARTS_SHIFT = 16
