/** Most milliseconds that tests wait on a busy host: less than a test's time limit. */
export const PATIENCE_MS = 100_000
