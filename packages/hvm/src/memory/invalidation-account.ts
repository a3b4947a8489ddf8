/** A server, as far as invalidations go. */
export interface ServerEpoch {
  readonly name: string
  /** The last change that it has acknowledged. */
  readonly acknowledged: number
  /** Whether the server has yet to acknowledge the last change. False for a disabled emulator, which holds no mappings. */
  readonly isAwaited: boolean
}

/** The state of invalidations, for people. */
export interface InvalidationAccount {
  /** Number of the last change. */
  readonly epoch: number
  /** The last change that every server has acknowledged. */
  readonly settledEpoch: number
  /** All servers. */
  readonly servers: readonly ServerEpoch[]
  /** Runs of guest frames that some server may still reach by their old machine frames, the oldest first. */
  readonly outstanding: readonly {
    readonly epoch: number
    readonly gfn: number
    readonly mfn: number
    readonly count: number
    /** Only the right to write them has gone. */
    readonly writesOnly: boolean
  }[]
  /** Numbers of vCPUs that must not begin another instruction: a notice has to be sent, or is pending at the servers. */
  readonly waitingVcpus: readonly number[]
}
