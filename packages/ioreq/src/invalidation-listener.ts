import type { IoreqServer } from './server.ts'

/** Hears how servers come, go and acknowledge: who waits for all of them has then to look again. */
export interface InvalidationListener {
  /** It has dropped what the notice of this epoch named, or is gone with all that it had mapped. */
  acknowledged(server: IoreqServer, epoch: number): void
  /** It has been created, enabled, disabled or destroyed. */
  serverChanged(server: IoreqServer): void
}
