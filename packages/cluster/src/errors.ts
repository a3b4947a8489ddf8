import { plainLine } from '@retrap/basics'

/** The kind of a cluster's error, for programs. */
export type ClusterErrorCode =
  /** The description of a cluster is wrong: the message names the field. */
  | 'ERR_CLUSTER'
  /** A machine did not do what the cluster waits for. */
  | 'ERR_MACHINE'
  /** The file of a run is damaged, or it is another file. */
  | 'ERR_RUN'

/** A cluster that cannot be described, made or run. */
export class ClusterError extends Error {
  /** Stable code to switch on. */
  readonly code: ClusterErrorCode

  constructor(code: ClusterErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.name = 'ClusterError'
    this.code = code
  }
}
