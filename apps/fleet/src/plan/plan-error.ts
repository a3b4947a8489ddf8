/** A place in a plan file, from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Mistakes of a plan file. The message has a line for each: `plan.yaml:3:5: …`. */
export class PlanError extends Error {
  override readonly name = 'PlanError'

  constructor(file: string, mistakes: readonly (Place & { readonly text: string })[]) {
    super(mistakes.map(({ line, column, text }) => `${file}:${line}:${column}: ${text}`).join('\n'))
  }
}
