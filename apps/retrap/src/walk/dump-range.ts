/** A run of guest-physical memory that a file holds. */
export interface DumpRange {
  readonly gpa: number
  readonly bytes: number
  /** Where it is in the file. */
  readonly offset: number
}
