/** The width of code: 16 for real mode and 16-bit segments, 32 for protected mode, 64 for long mode. */
export type CodeBits = 16 | 32 | 64

/** How an `Assembler` starts. */
export interface AssemblerOptions {
  /** Mode of the first instructions; 64 if not given. */
  readonly bits?: CodeBits
  /** Address of the first section, `text`; 0 if not given. */
  readonly address?: number | bigint
}

/** Where a section goes. */
export interface SectionOptions {
  /** The address that its labels are counted from; by default it follows the section before. */
  readonly address?: number | bigint
  /**
   * Where `Program.flatten()` puts it, if that is not its address (code that runs elsewhere than it is stored).
   * `'none'`: nowhere; it only gives names to memory that the program uses.
   */
  readonly load?: number | bigint | 'none'
  /** Alignment in bytes of a section that follows another; 16 if not given. */
  readonly align?: number
}
