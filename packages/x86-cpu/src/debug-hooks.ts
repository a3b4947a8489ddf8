/**
 * What a debugger asks of one processor, as the processor sees it. Without a debugger there is none, and the checks for it
 * lie outside generated code.
 */
export interface DebugHooks {
  /** A step is under way: instructions are executed one at a time, and interrupts are held off where the debugger says so. */
  readonly stepping: boolean
  /** There are breakpoints. */
  readonly breaks: boolean
  /** Some data is watched. */
  readonly watches: boolean
  /** A fault that the debugger has been told of is to be delivered next. */
  readonly holdsFault: boolean
  /** Whether instructions in the 4 KiB page of a linear address are executed one at a time, with a look at each. */
  stepsInPage(lo: number, hi: number): boolean
  /** Whether to stop before the instruction at a linear address. @param cost - of the vCPU: see `Vcpu.cost` */
  stopsAt(lo: number, hi: number, cost: number): boolean
  /** Whether to stop between two instructions: something watched was accessed, or a step has ended. */
  stopsBetween(cost: number): boolean
  /** Whether to stop before an exception is delivered. {@link holdsFault} is set then. */
  stopsForFault(vector: number, errorCode: number, addressLo: number, addressHi: number): boolean
  /** Whether to stop for a triple fault. */
  stopsForShutdown(): boolean
  /** The held fault is delivered now. */
  releaseFault(): void
  /** An instruction has faulted, or is forgotten: its accesses do not count. */
  dropAccess(): void
  /** Whether an access touches watched data, of any kind: its instruction is executed alone. */
  matches(lo: number, hi: number, size: number): boolean
  /** Notes an access that touches watched data. */
  note(lo: number, hi: number, size: number, write: boolean): void
  /** Whether the page of a linear address has watched data, so that its accesses must not be found in the TLB. */
  watchesPage(lo: number, hi: number): boolean
}

/** Holds the debugger's hooks into one processor; null: there is no debugger. */
export class DebugSlot {
  /** The hooks. */
  hooks: DebugHooks | null = null
}
