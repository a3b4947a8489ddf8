import type { DebugPlaces } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { CpuHost } from '../state/host.ts'
import type { Processor } from '../model/processor.ts'

/** Machine memory as the records of decoded instructions are read from it; index = machine address >> log2(bytes). */
export type MachineViews = Pick<MachineMemory, 'u8' | 'u16' | 'u32'>

/** The rates that a processor's clocks run at. */
export interface CpuClocks {
  /** Rate of the time-stamp counter, in Hz. */
  readonly tscHz: number
  /** Rate of the core crystal clock, which is also the local APIC timer's input, in Hz. */
  readonly crystalHz: number
}

/** In place of a port number for {@link Cpu.repeat}: MOVS, STOS. */
export const REPEAT_MOVE = -1
export const REPEAT_FILL = -2

/**
 * Iterations of a string instruction between a port and memory, or between two places in memory of which one is a device's.
 * Elements lie within a page on each side.
 */
export interface Iterations {
  /**
   * The port; or REPEAT_MOVE: the source is memory at `otherHi:otherLo`, the destination memory at `hi:lo`; or REPEAT_FILL:
   * `otherHi:otherLo` is what is stored at `hi:lo`, which is a device's.
   */
  port: number
  /** Low word of the source's address or of the value. */
  otherLo: number
  /** High word of the source's address or of the value. */
  otherHi: number
  /** Low word of the first element's linear address. */
  lo: number
  /** High word of the first element's linear address. */
  hi: number
  /** Bytes of an element; SLOW_WRITE: memory at `hi:lo` is written. */
  flags: number
  /** The most that may be made. */
  count: number
  /** Addresses go downwards. */
  down: boolean
}

/**
 * The parts of the processor that system instructions and event delivery need.
 *
 * The views are of the *state area*: index = offset of `state-layout.ts` >> log2(bytes).
 */
export interface Cpu {
  /** The state as bytes. */
  readonly u8: Uint8Array
  /** The state as 16-bit words. */
  readonly u16: Uint16Array
  /** The state as 32-bit words. */
  readonly u32: Uint32Array
  /** The state as signed 32-bit words. */
  readonly i32: Int32Array
  /** The state as 64-bit words, for paths that run rarely. */
  readonly u64: BigUint64Array
  readonly memory: MachineViews
  /** The world around the CPU. */
  readonly host: CpuHost
  /** Which processor it is. */
  readonly processor: Processor
  /** The rates of its clocks. */
  readonly clocks: CpuClocks
  /** A debugger's ports, device memory and MSRs. */
  readonly places: DebugPlaces
  /** Where the last access was: the machine address, −1 if there is no RAM. */
  readonly memoryAccess: { readonly locatedMa: number }

  /**
   * One access at a linear address, of at most 64 bytes, data in S_DATA.
   *
   * `flags`: the size in bytes, and `SLOW_*`. A probe (SLOW_PROBE | SLOW_WRITE) of what is not plain RAM is
   * STATUS_RESTART outside a logged pass, so that a write that has been probed outside a logged pass cannot end in
   * STATUS_RESTART or STATUS_RETRY. Inside a logged pass, writes are held until the instruction has retired.
   *
   * @returns STATUS_DONE; STATUS_FAULT with S_FAULT_* set; STATUS_RETRY; STATUS_RESTART
   */
  access(lo: number, hi: number, flags: number): number
  /** The same for a guest-physical address: the PDPTEs of PAE paging. Never faults. */
  accessPhysical(gpa: number, flags: number): number
  /**
   * IN or OUT; the value is in the low `size` bytes of S_DATA. `flags`: the size, SLOW_WRITE, and SLOW_DIRECT if nothing
   * can fail after this access.
   *
   * @returns STATUS_DONE, STATUS_RETRY, STATUS_RESTART
   */
  port(port: number, flags: number): number
  /**
   * In a logged pass: makes several iterations of a string instruction as one request.
   *
   * @returns the number made; 0 if they are to be made one by one; −STATUS_RETRY or −STATUS_FAULT
   */
  repeat(iterations: Iterations): number
  /** Iterations that the turn's budget has left, at least one; unlimited where the log has what was decided. */
  affordableIterations(): number
  /** Whether several iterations may go in one request: no event waits to come between them, or the log has what was decided. */
  mayRepeat(): boolean
  /**
   * Whether a gather may leave what it has done as its progress: an event waits to be taken, this is a logged pass, and no
   * further access of it has begun.
   */
  mayEndGather(): boolean
  /** Forgets translations: those of the current address space but global pages, or everything. */
  flushTlb(all: boolean): void
  /** Forgets translations for data of pages whose protection keys have lost rights; one bit for each `Translation.key`. */
  dropKeys(keys: number): void
  /** INVLPG: forgets the translations of a page, global ones too. */
  invalidatePage(lo: number, hi: number): void
  /** INVPCID, whose type is `scope` (`Invalidate` of `@retrap/paging`). */
  invalidatePcid(scope: number, pcid: number, lo: number, hi: number): void
  /**
   * CR3 has been loaded with CR4.PCIDE set. Translations of other address spaces than the new one stay; its own do, too,
   * if `keep`.
   */
  switchPcid(from: number, to: number, keep: boolean): void
  /**
   * MONITOR: translates a byte as a load of it would, and arms its line; the line of a byte that is not RAM cannot be
   * armed.
   *
   * @returns as {@link Cpu.access}
   */
  monitor(lo: number, hi: number): number
  /** Arms the line of a byte of RAM, as a restored state has it; `ma` -1: there is no RAM, and a wait ends. */
  armMonitor(gpa: number, ma: number): void
  /** Ends the monitoring of a line, and a wait for it. */
  endMonitor(): void
  /**
   * After a change of CS, SS, CR0, CR4, XCR0, EFER, RFLAGS.AC or RFLAGS.VM: derives S_CPL (real mode 0, virtual-8086 mode 3,
   * else SS.DPL), S_MODE, S_TLB and the gates.
   */
  modeChanged(): void
  /** RFLAGS, arithmetic flags included. */
  materialiseFlags(): number
  /** Sets RFLAGS, arithmetic flags included. */
  setRflags(value: number): void
}
