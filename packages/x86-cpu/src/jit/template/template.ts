import type { Assumption } from '../known-state.ts'

// The kind of value that replaces some of a template's bytes: see `Template.patches`.
/** A constant of 64 bits: `HOLE_*`. */
export const PATCH_64 = 0
/** The low 32 bits of a constant: `HOLE_*`. */
export const PATCH_32 = 1
/** The index of the local of a general register: its number, or 16 and more for those that the instruction names. */
export const PATCH_REGISTER = 2
/** The index of one of the flags' locals: kind, first operand, second operand, result. */
export const PATCH_FLAG = 3
/** The index of a local that lives within the instruction: its type's number times 256, and which of them. */
export const PATCH_TEMPORARY = 4
/** The offset of a field of another register that the instruction names: which one times 4096, and the byte. */
export const PATCH_OFFSET = 5
/** The same as an `i32.const`. */
export const PATCH_ADDRESS = 6
/** A type's index: that of one of `Templates.signatures`. */
export const PATCH_TYPE = 7
/** Code that the unit emits: `MARK_*`, and the number of blocks around it times 256. */
export const PATCH_MARK = 8
/** Words of a patch. */
export const PATCH_WORDS = 4

/** Exits of the instruction, by the names of `InstructionExits`. */
export const MARK_INTERPRET = 0
export const MARK_MISS = 1
export const MARK_FAIL = 2
export const MARK_RETIRE = 3
export const MARK_BRANCH = 4
export const MARK_JUMP = 5
export const MARK_GIVEN_UP = 6
/** The registers are stored. */
export const MARK_STORE = 7

/** The number of the first general register that an instruction names, after those that its form names. */
export const FIRST_NAMED = 16

/** The number of the temporary with the target of `MARK_JUMP`, and of the one with the status of `MARK_FAIL`. */
export const EXIT_TEMPORARY = 255

/** Types of locals, by the numbers that {@link PATCH_TEMPORARY} has. */
export const LOCAL_TYPES = ['i32', 'i64', 'f32', 'f64', 'v128'] as const

/** The code of an instruction, from which that of others differs in constants and in the indices of locals. */
export interface Template {
  /** WebAssembly's instructions. */
  readonly bytes: Uint8Array
  /** Words, four for each: from and to which byte it stands, `PATCH_*`, and what that says. In the order of the bytes. */
  readonly patches: Int32Array
  /** Count of the temporaries of each of {@link LOCAL_TYPES}, without {@link EXIT_TEMPORARY}. */
  readonly temporaries: readonly number[]
  /** General registers that are used, that are written: bit i for register i, and from bit 16 on for those that it names. */
  readonly used: number
  readonly written: number
  /** The kind of the flags that the instruction leaves; null where it is not known, undefined where they stay. */
  readonly kind: number | null | undefined
  /** Whether the template depends on the flags, and so on their kind. */
  readonly readsFlags: boolean
  /** Fields of the state that are taken for granted, with their values. */
  readonly assumptions: readonly Assumption[]
}
