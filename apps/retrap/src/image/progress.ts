/** Called as a copy goes on, with a fraction from 0 to 1. */
export type OnProgress = (fraction: number) => void
