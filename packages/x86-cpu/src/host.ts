import type { AccessLog } from '@retrap/replay'

/** What a linear page maps to: filled in by {@link CpuHost.translate}. Caller-owned, numbers only. */
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

/**
 * What a CPU asks of the world around it. One per vCPU. Statuses are STATUS_DONE, STATUS_FAULT and STATUS_RETRY;
 * nothing may throw.
 */
export interface CpuHost {
  /**
   * Guest page walk and second-level look-up for one byte; sets A and D bits. `access` as `ACCESS_*` of `@retrap/paging`. In a logged pass `log` records the reads of
   * the walk and answers them again.
   *
   * @returns STATUS_DONE; STATUS_FAULT with `into.errorCode`; STATUS_RETRY
   */
  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number
  /** Machine address of the plain RAM that backs a guest-physical address for writing, or -1. */
  ramAddress(gpa: number): number
  /**
   * Reads 1, 2, 4 or 8 bytes of what is not RAM.
   *
   * @param logged - the access is recorded in the log, and comes again after STATUS_RETRY. Otherwise it is made now or
   *   not at all: with STATUS_RESTART it comes again, logged, in a pass of the instruction alone; with STATUS_ASK the
   *   same, or at once, logged, where there is nothing else to log
   * @param mayWait - of one that is not logged: it is all that its pass would have in the log, and where STATUS_ASK
   *   would be said it may be taken as a logged one at once. With STATUS_RETRY it is recorded, and comes again, logged
   */
  physicalRead(gpa: number, size: number, into: Words, logged: boolean, mayWait: boolean): number
  /** Writes it. */
  physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean, mayWait: boolean): number
  /**
   * A store to what is memory but may not be written: 1, 2, 4 or 8 bytes, told of when the instruction has retired.
   * Without it, such stores are lost.
   */
  romWrite?(gpa: number, size: number, lo: number, hi: number): void
  /** IN: 1, 2 or 4 bytes. */
  portRead(port: number, size: number, into: Words, logged: boolean, mayWait: boolean): number
  /** Serves OUT of 1, 2 or 4 bytes. */
  portWrite(port: number, size: number, value: number, logged: boolean, mayWait: boolean): number
  /**
   * Several iterations of a string instruction between a device and RAM, as one request of a logged pass: elements of
   * `size` bytes at a port, or (`port` false) at guest-physical addresses from `address` on, and in RAM from `gpa` on,
   * which all lie in one frame. `down`: both go downwards. Without it, iterations are made one by one.
   *
   * @param write - to the device
   * @param gpa - or −1: every element is stored the value that is in `into`
   * @param into - `lo` becomes the number of iterations made; 0 if they are to be made one by one
   * @returns STATUS_DONE or STATUS_RETRY
   */
  repeat?(
    port: boolean,
    write: boolean,
    address: number,
    size: number,
    count: number,
    down: boolean,
    gpa: number,
    into: Words,
  ): number
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
   * What was in the middle is forgotten: if an access waits for a device, its answer is to be dropped when it comes; if one
   * waits for memory, nobody does any more.
   */
  cancelled?(): void
  /**
   * FERR#: an x87 exception is pending before an instruction that waits for it, and CR0.NE is clear. The processor then
   * stands still until an interrupt, which a PC makes of it. Without it, the exception is #MF whatever CR0.NE says.
   */
  numericError?(): void
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
