/** Prints a text. @returns a promise where the output is behind, to be waited for by commands that print much */
export type Print = (text: string) => Promise<void> | undefined

/** Called as a copy goes on, with a fraction from 0 to 1. */
export type OnProgress = (fraction: number) => void
