import { transform } from 'sucrase'

/** A mistake in the user's code. */
export class CompileError extends Error {
  /** Counts from 1; null where that is not known. */
  readonly line: number | null

  constructor(message: string, line: number | null) {
    super(message)
    this.line = line
  }
}

/**
 * Takes the types out of TypeScript. Lines stay where they are.
 *
 * @returns the body of a function of `require` and `exports`
 * @throws CompileError
 */
export function compile(code: string): string {
  try {
    return transform(code, { transforms: ['typescript', 'imports'], disableESTransforms: true }).code
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const line = /\((\d+):\d+\)\s*$/.exec(message)?.[1]
    throw new CompileError(
      message.replace(/^Error transforming undefined: /, ''),
      line === undefined ? null : Number(line),
    )
  }
}
