/** Compiled code in a {@link CodeStore}. */
export interface StoredCode {
  /** Names it in its store. */
  readonly id: number
  /** Reads it: what was added; undefined where it is gone. The bytes come from the caller, and may be damaged. */
  read(): Uint8Array | undefined
}

/**
 * Compiled code that is kept between runs. All of it is for the same instruction set and {@link CodeKeeper.open}'s
 * configuration. Its methods do not throw, and take no longer than it takes to read a few KiB.
 */
export interface CodeStore {
  /** Returns whether there may be code with a key: called for each instruction that is decoded. */
  has(key: number): boolean
  /** Returns the code with a key, the newest last. */
  find(key: number): readonly StoredCode[]
  /**
   * Adds code.
   *
   * @param code - the store's from now on
   * @param instead - the code that it is better than, which may go
   * @returns what names it
   */
  add(key: number, code: Uint8Array, instead: number | undefined): number
  /** Drops code that is damaged, or not usable. */
  drop(id: number): void
}

/** Opens stores of compiled code. Machines of one process may share it. */
export interface CodeKeeper {
  /**
   * Opens the store of code for an instruction set. The keeper tells apart all that code generation depends on, such as versions
   * of programs.
   *
   * @param instructionSet - its name: `x86`, `arm64`
   * @param configuration - all else that code depends on beside the guest's bytes: only code of the same may be found
   * @returns undefined where nothing is kept
   */
  open(instructionSet: string, configuration: string): CodeStore | undefined
}
