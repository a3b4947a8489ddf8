import { plainLine, printable } from '@retrap/basics'

/** The kind of a cluster's error, for programs. */
export type ClusterErrorCode =
  /** The description of a cluster is wrong: the message names the field. */
  | 'ERR_CLUSTER'
  /** A machine did not do what the cluster waits for. */
  | 'ERR_MACHINE'
  /** A test of a cluster: the cluster has failed. */
  | 'ERR_FAILED'
  /** The file of a run is damaged, or it is another file. */
  | 'ERR_RUN'

/** A cluster that cannot be described, made or run. */
export class ClusterError extends Error {
  /** Stable code to switch on. */
  readonly code: ClusterErrorCode

  constructor(code: ClusterErrorCode, message: string, options?: { readonly cause?: unknown }) {
    // A failed test has many lines, some of them a guest's.
    super(code === 'ERR_FAILED' ? printable(message) : plainLine(message), options)
    this.name = 'ClusterError'
    this.code = code
  }
}

/** The error for a field of a description. */
export const bad = (path: string, why: string): ClusterError => new ClusterError('ERR_CLUSTER', `${path}: ${why}`)
