/** What a case trapped into EL2 with. */
export interface Trap {
  readonly esr: bigint
  readonly far: bigint
  readonly hpfar: bigint
  readonly elr: bigint
  readonly spsr: bigint
  /** Of the exception that EL1 took before, where it did. */
  readonly esrEl1: bigint
  readonly farEl1: bigint
  readonly elrEl1: bigint
  readonly spsrEl1: bigint
  /** PAR_EL1. */
  readonly par: bigint
}
