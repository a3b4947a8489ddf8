/** Room in a machine's memory for clones. */
export interface MachineForks {
  /** Most clones at a time, those of clones included; 1 or more. */
  readonly clones: number
  /**
   * RAM in bytes that each clone writes, and the machine itself while there are clones: a frame takes room when it is written
   * first. It is a pool: one may write more where others write less.
   */
  readonly writtenBytes: number
}
