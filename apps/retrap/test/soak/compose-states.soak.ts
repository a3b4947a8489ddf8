// The cases of `compose` in which the machine is in a drawn state when something is done to it, and no others.
import type { Soak } from '@retrap/tooling/soak'
import { composed } from './compose.soak.ts'

/** See the file's comment. */
export const soak: Soak = composed('compose-states', 2000, (round) => round)
