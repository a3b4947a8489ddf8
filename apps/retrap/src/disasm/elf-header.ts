/** A section header, in numbers of one size. */
export interface ElfHeader {
  readonly name: string
  readonly type: number
  readonly flags: bigint
  readonly address: bigint
  readonly offset: number
  readonly size: number
  readonly link: number
  readonly entrySize: number
}
