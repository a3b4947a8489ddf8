/** Room in a machine's memory for clones. */
export interface MachineForks {
  /** Most clones at a time, including clones of clones; at least 1. */
  readonly clones: number
  /**
   * Bytes of RAM that each clone may write, and the machine itself while it has clones. A frame takes room at its first
   * write. All share one pool: a clone may write more if others write less.
   */
  readonly writtenBytes: number
}
