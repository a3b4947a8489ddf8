/** The interface to a hypervisor that the patcher needs. Addresses are 32 bits: its guests are. */

/** Registers of a vCPU at a report. */
export interface VapicRegisters {
  /** Linear address of the instruction: CS.base + EIP. At a port write that of the OUT; see `TprReport.behind` for reports. */
  readonly eip: number
  /** Stack pointer. */
  readonly esp: number
  /** Base of FS: where a kernel of this kind has its processor control region. */
  readonly fsBase: number
}

/** How a helper asks for interrupts to be polled. */
export type PollMethod = 'vmcall' | 'vmmcall' | 'port'

/** The world around the patcher. */
export interface VapicHost {
  /** vCPUs of the guest. */
  readonly vcpuCount: number
  /** The method of polling that this processor's guests can execute. */
  readonly pollMethod: PollMethod
  /** Returns the registers of a vCPU. */
  registers(vcpu: number): VapicRegisters
  /**
   * Reads guest memory as the vCPU's tables map it now, with a supervisor's rights. Touches no device and sets no A or D
   * bit.
   *
   * @returns false if a byte is not mapped, or not RAM or ROM; then nothing is read
   */
  readLinear(vcpu: number, address: number, into: Uint8Array): boolean
  /** Writes guest memory, write-protected pages too. @returns false with nothing written, as for reading */
  writeLinear(vcpu: number, address: number, from: Uint8Array): boolean
  /** Returns the guest-physical address of a linear one; undefined if unmapped. */
  translate(vcpu: number, address: number): number | undefined
  /** Reads guest-physical memory. @returns false with nothing read if it is no memory */
  readPhysical(gpa: number, into: Uint8Array): boolean
  /** Writes RAM, and ROM that has been made writable. @returns false with nothing written if it is neither */
  writePhysical(gpa: number, from: Uint8Array): boolean
  /** Makes shadowed ROM writable: whole pages. An earlier range becomes read-only again. */
  mapRomWritable(gpa: number, bytes: number): void
  /** Makes the ROM read-only again. */
  unmapRom(): void
  /** Switches the reports of accesses to the local APIC's task priority register on or off. */
  reportTprAccesses(enabled: boolean): void
  /** Stops all vCPUs at instruction boundaries. */
  stopAll(): void
  /** Lets all vCPUs run again. */
  resumeAll(): void
  /** Drops decoded records and translations of a range of guest-physical memory. */
  dropCode(gpa: number, bytes: number): void
  /**
   * A vCPU's task priority lives in the record at this guest-physical address from now on: its local APIC reads the
   * record, and keeps the classes in service (byte 1) and pending (byte 3) up to date. Undefined: in the local APIC
   * alone, as before. Its value stays the same.
   */
  useRecord(vcpu: number, gpa: number | undefined): void
  /**
   * The dwords at multiples of 4 in guest RAM whose values are from `first` to `last`, and their addresses: return
   * addresses on stacks are among them.
   */
  findWords(first: number, last: number): Iterable<{ readonly gpa: number; readonly value: number }>
  /** Lets pending interrupts be taken: a helper has asked. */
  pollInterrupts(vcpu: number): void
}
