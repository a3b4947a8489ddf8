import type { TargetCode } from '@retrap/gdb'

/** Accesses that a watchpoint is for. */
export type MachineWatchKind = 'write' | 'read' | 'access'

/** Why a vCPU has stopped for its debugger. */
export type CpuStop =
  /** The instruction at a breakpoint is next. */
  | { readonly kind: 'breakpoint'; readonly address: bigint }
  /** An instruction has accessed watched data; it has retired. `address`: of the first watched byte it touched. */
  | { readonly kind: 'watch'; readonly address: bigint; readonly watch: MachineWatchKind }
  /** A step has ended. */
  | { readonly kind: 'step' }
  /**
   * An instruction of x86 has raised an exception, which is delivered when the vCPU goes on. `address`: of a page fault.
   */
  | { readonly kind: 'fault'; readonly vector: number; readonly errorCode: number; readonly address: bigint }
  /** An Arm processor is about to take an exception to EL1. `vector`: its class; `syndrome`: ESR_EL1; `address`: FAR_EL1, if set. */
  | { readonly kind: 'exception'; readonly vector: number; readonly syndrome: number; readonly address: bigint }
  /** A triple fault. */
  | { readonly kind: 'shutdown' }
  /** An instruction, or one iteration of it, has retired after an access to a stop place. */
  | PlaceAccess
  /** An exception has been delivered: the first instruction of its handler is next. `address`: of a page fault, or FAR_EL1. */
  | { readonly kind: 'handler'; readonly vector: number; readonly errorCode: number; readonly address: bigint }

/** An access of an instruction to I/O ports, to device memory, or to an MSR. */
export interface PlaceAccess {
  /** A port, device memory or an MSR. */
  readonly kind: 'port' | 'mmio' | 'msr'
  /** The port, the MSR, or the guest-physical address where the access began. */
  readonly address: number
  /** Size in bytes; of one element, if the access has several. */
  readonly size: number
  /** Number of elements of a string instruction, which a device has taken as one request; otherwise 1. */
  readonly elements: number
  /** Whether the guest has written; else it has read. */
  readonly write: boolean
  /** The data; undefined for several elements. */
  readonly value: bigint | undefined
}

/** Consecutive ports, bytes of device memory, or MSRs. */
export interface PlaceRange {
  /** Ports, device memory or MSRs. */
  readonly kind: PlaceAccess['kind']
  /** The first one; device memory has guest-physical addresses. */
  readonly address: number
  /** Number of ports, bytes or MSRs. */
  readonly count: number
  /** The accesses that count. */
  readonly access: MachineWatchKind
}

/** The places that processors of a board can stop at. */
export interface PlaceRules {
  /** Kinds of accesses. */
  readonly kinds: readonly PlaceAccess['kind'][]
  /** One more than the last number of an exception. */
  readonly exceptions: number
}

/** How one vCPU resumes. */
export interface CpuStart {
  /** Stop after one instruction. */
  readonly step: boolean
  /** With `step`: interrupts that wait are held off meanwhile. */
  readonly holdInterrupts: boolean
  /** A breakpoint at the next instruction does not count. */
  readonly passBreakpoint: boolean
  /** Discard the fault that stopped the vCPU, and execute its instruction again. */
  readonly dropFault: boolean
}

/** One vCPU for the debugger, independent of the instruction set. */
export interface DebuggedCpu {
  /** Why the vCPU has stopped; undefined if it runs. */
  readonly stop: CpuStop | undefined
  /** The processor's activity, for people: `halted`. */
  readonly activity: string
  /** The code that the vCPU executes, and its callers. */
  readonly code: TargetCode
  /** Resumes the vCPU. */
  resume(how: CpuStart): void
  /** Ends debugging: removes all points. */
  detach(): void
  /** Stops before the instruction at a linear address is executed. */
  addBreakpoint(address: bigint): void
  /** Takes a breakpoint away. */
  removeBreakpoint(address: bigint): void
  /** Stops after an instruction has accessed one of `length` bytes. */
  addWatchpoint(address: bigint, length: number, kind: MachineWatchKind): void
  /** Takes a watchpoint away. */
  removeWatchpoint(address: bigint, length: number, kind: MachineWatchKind): void
  /** Numbers of exceptions that stop the vCPU before their delivery. */
  readonly caughtFaults: ReadonlySet<number>
  /** Adds an exception number to `caughtFaults`, or removes it. */
  catchFault(number: number, caught: boolean): void
  /** The places of its board. */
  readonly places: PlaceRules
  /** Stops after an instruction that reaches places, or no longer. */
  setPlace(place: PlaceRange, stops: boolean): void
  /** Sets whether an exception stops the vCPU before the first instruction of its handler. */
  setHandler(vector: number, stops: boolean): void
  /** Whether watchpoints stop before the instruction; absent: they stop after the instruction. */
  watchesBefore?: boolean
  /** Whether a triple fault stops the vCPU before it shuts down; absent: no triple faults. */
  catchesShutdown?: boolean
  /** Registers of the vCPU by name. */
  readonly state: {
    /** Reads a register; undefined for an unknown register. */
    read(name: string): bigint | undefined
    /** Writes a register. @returns false if the register cannot be written now */
    write(name: string, value: bigint): boolean
  }
  /** Memory at the vCPU's linear addresses. */
  readonly memory: {
    /** Reads without side effects. @returns how many bytes were readable */
    peek(address: bigint, into: Uint8Array): number
    /** Writes. @returns how many bytes were written */
    poke(address: bigint, bytes: Uint8Array): number
  }
}
