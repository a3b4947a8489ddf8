import type { MissAction } from '../memory-sites.ts'
import type { Flow } from '../region.ts'
import type { StateAssumption } from '../unit-code.ts'
import type { CodeWriter } from './code-writer.ts'

/**
 * The instruction set's part of a unit of the first tier, whose code is copied from templates. All instructions are
 * planned first, in the order of their code; then what the unit needs is known, and the code is written.
 */
export interface CopiedUnit<Form> {
  /** Control may come from elsewhere to the instruction that is planned next. */
  forget(): void
  /** Plans an instruction in place. @param i - its number */
  plan(i: number, form: Form, record: number, onMiss: MissAction): void
  /** Plans an instruction that a function executes. @param form - undefined where it is the host's */
  planCall(i: number, form: Form | undefined, record: number, flow: Flow): void
  /**
   * Declares locals: writes groups of a function's, each a count and a type.
   *
   * @param first - number of the first
   * @returns count of the groups
   */
  declare(out: CodeWriter, first: number): number
  /** Writes an `i32` that is not zero where the state is not as the unit assumes. @returns false where it assumes nothing */
  differs(out: CodeWriter): boolean
  /** Returns what the unit assumes of the state. */
  assumptions(): readonly StateAssumption[]
  /** Writes loads of the locals from the state. */
  load(out: CodeWriter): void
  /** Writes stores of the locals that the unit changes, into the state. */
  store(out: CodeWriter): void
  /** Writes the code of an instruction in place. */
  copy(out: CodeWriter, i: number, record: number, exits: CopiedExits): void
  /** Writes stores of what the function that executes an instruction may read or write. */
  spill(out: CodeWriter, i: number): void
  /** Writes loads of what that function may have written. */
  reload(out: CodeWriter, i: number): void
}

/**
 * The exits of an instruction's code, as `InstructionExits` has them.
 *
 * Each method writes code. `depth` is the number of blocks around it within the instruction's own code.
 */
export interface CopiedExits {
  /** Writes the linear address of the page of the instruction's first byte. */
  pageBase(): void
  /** As `InstructionExits.interpret`. */
  interpret(depth: number): void
  /** As `InstructionExits.miss`. */
  miss(depth: number): void
  /** As `InstructionExits.fail`. @param status - number of the local with the status */
  fail(depth: number, status: number): void
  /** As `InstructionExits.leaveIfGivenUp`. */
  leaveIfGivenUp(depth: number): void
  /** As `InstructionExits.retire`. */
  retire(depth: number): void
  /** As `InstructionExits.branch`. */
  branch(depth: number): void
  /** As `InstructionExits.jump`. @param target - number of the local with the linear address */
  jump(depth: number, target: number): void
}
