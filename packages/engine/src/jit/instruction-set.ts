import type { I32, I64, ModuleBuilder } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import type { StateLayout } from '../loop-state.ts'
import type { MissAction } from './memory-sites.ts'
import type { RegionFunction } from './position-switch.ts'
import type { Flow, Region, RegionInstruction } from './region.ts'
import type { StateAssumption } from './unit-code.ts'

/** The way in which an instruction passes control, and its target. */
export interface InstructionFlow {
  /** `leave` makes the interpreter execute the instruction. */
  readonly flow: Flow
  /** Target of `jump`, `branch` and `call`, in bytes from the beginning of the instruction's page; absent if not known. */
  readonly target?: number | undefined
}

/** An instruction whose control flow is asked for. */
export interface DecodedInstruction<Form> {
  /** Form. */
  readonly form: Form
  /** Machine address of the unit's record. */
  readonly record: number
  /** Offset of the next instruction from the beginning of this one's page. */
  readonly next: number
  /** Mode of the unit's code. */
  readonly mode: number
  /** Machine address of the state of a processor that executes it. */
  readonly state: number
}

/** An instruction set's part of emission, which needs nothing of the machine whose code it is. */
export interface UnitEmitter<Form> {
  /** Fields of the processor's state. */
  readonly layout: StateLayout
  /** Bytes from the beginning of the state, with all fields that units may assume. */
  readonly assumedBytes: number
  /** Returns whether linear addresses of a mode have 64 bits; otherwise they wrap around at 32. */
  isWide(mode: number): boolean
  /**
   * Begins a unit: imports functions called by its instructions, and declares its own function.
   *
   * @param module - module with imported memory and table
   */
  beginUnit(module: ModuleBuilder, unit: UnitDescription<Form>): UnitSemantics<Form>
}

/**
 * An instruction set, as the compiler of hot code needs it: the control flow of decoded instructions, and their semantics
 * over operands that are known.
 */
export interface CompiledInstructionSet<Form> extends UnitEmitter<Form> {
  /** Name for `CodeKeeper.open`. */
  readonly name: string
  /** The properties of the processor that decoding and compiling depend on, such as its model. */
  readonly configuration: string
  /** The data that another thread makes its emitter from: it can be posted. */
  readonly emitterKind: object
  /** Returns a name by which the other thread finds a form. */
  readonly nameOf: (form: Form) => string
  /** Returns the way in which an instruction passes control. */
  flowOf(insn: DecodedInstruction<Form>): InstructionFlow
  /**
   * Returns whether units call the interpreter's function of a form, instead of its code in place.
   *
   * @param bytes - of that function
   */
  isCalled(form: Form, bytes: number): boolean
  /**
   * Returns whether units call the host function that executes an instruction, since the next one usually follows. It may
   * then change nothing that units assume and end with `STATUS_DONE`.
   *
   * @param fn - its number
   */
  isHostCalled(fn: number, record: number): boolean
}

/** Memory with the records and the state of a unit, which nobody writes meanwhile. */
export type RecordMemory = Pick<MachineMemory, 'u8' | 'u16' | 'u32' | 'u64'>

/** A unit to be generated. */
export interface UnitDescription<Form> {
  /** The region of code that the unit executes. */
  readonly region: Region<Form>
  /** Mode of that code. */
  readonly mode: number
  /** Holds the state and the records, at addresses of its own. */
  readonly memory: RecordMemory
  /** Address in memory of the state of the processor that found the region: its fields may be assumed. */
  readonly state: number
}

/**
 * The instruction set's part of a unit: registers in locals, and the code of instructions.
 *
 * Locals are *settled* when {@link UnitSemantics.store} can store them without further computation. The engine has them settled wherever
 * control meets or leaves.
 */
export interface UnitSemantics<Form> {
  /** The unit's function, of type `FORM_SIGNATURE`, exported as `unit`, still empty. */
  readonly f: RegionFunction
  /**
   * Emits the checks of the unit's assumptions about the state. Called last.
   *
   * @param leaveIf - emits an exit to the interpreter on a condition
   */
  checkAssumptions(leaveIf: (condition: I32) => void): void
  /** Returns the assumptions that {@link UnitSemantics.checkAssumptions} has checked; called afterwards. */
  assumptions(): readonly StateAssumption[]
  /** Emits loads of the locals that the unit uses, from the state. Called after all instructions. */
  load(): void
  /** Emits stores of the settled locals that the unit has written, into the state. Called after all instructions. */
  store(): void
  /** Emits code that settles the locals, where control leaves; code that follows sees them as before. */
  settle(): void
  /**
   * Emits code that settles the locals before a loop's head, where only settled locals are known.
   *
   * @param leave - emits an exit to the interpreter, which continues with the block
   */
  beginLoop(block: number, leave: () => void): void
  /**
   * Emits code that settles the locals, where control goes to a block that other edges lead to as well.
   *
   * @param leave - emits an exit to the interpreter, which continues with the block
   */
  meet(block: number, leave: () => void): void
  /** The code of a block begins at which edges have met. */
  merge(block: number): void
  /** Calls `build`, which emits code off the path; afterwards the known values are restored. */
  aside(build: () => void): void
  /** Emits an instruction. Control that falls out of its code has retired it. */
  emit(insn: RegionInstruction<Form>, exits: InstructionExits): void
  /** Emits stores of locals that an instruction's function may access, before its call. */
  spill(insn: RegionInstruction<Form>): void
  /** Emits loads of registers that the function may have written. */
  reload(insn: RegionInstruction<Form>): void
}

/** Methods that emit code for an instruction's memory accesses and for its exits. */
export interface InstructionExits {
  /** The action where a page is not in the TLB. */
  readonly onMiss: MissAction
  /** Returns the linear address of the page of its first byte. */
  pageBase(): I64
  /** Returns the remaining budget after the instruction has retired. */
  remaining(): I32
  /** The interpreter executes the instruction: nothing has changed. */
  interpret(): void
  /** Leaves as {@link InstructionExits.interpret} does, after a page was not found in the TLB. */
  miss(): void
  /** Leaves: the instruction has ended with a status other than `STATUS_DONE`, and nothing has changed. */
  fail(status: I32): void
  /** Leaves as {@link InstructionExits.interpret} does if the unit has been given up. */
  leaveIfGivenUp(): void
  /** The instruction has retired; the interpreter executes its successor. */
  retire(): void
  /** The instruction has retired; control goes to the target of its branch. */
  branch(): void
  /** The instruction has retired; control goes to a linear address. */
  jump(target: I64): void
}
