import type { ShowPull } from '@retrap/linux-guest/jobs/root'

/** Shows how far a pull is. Its bar is loaded on demand: most images are kept. */
export const shownPull: ShowPull = async (pull) => (await import('./fetch-progress.ts')).fetchShown(pull)
