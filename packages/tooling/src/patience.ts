/** How long tests wait for what is to come on a host that is busy, in milliseconds: less than the time limit of a test. */
export const PATIENCE_MS = 100_000
