/** Why a processor has returned. */
export type ArmExit =
  /** The budget is used up. */
  | { readonly reason: 'budget' }
  /**
   * An exception that is EL2's, for whoever runs the processor. The program counter is where it would return to: behind SVC
   * and HVC, else at the instruction, which has changed nothing.
   */
  | {
      readonly reason: 'exception'
      /** ESR_EL2: its class is in bits 31 to 26. */
      readonly syndrome: number
      /** FAR_EL2 of aborts and of a program counter that is not aligned. */
      readonly address: bigint
      /** HPFAR_EL2 of an abort that stage 2 has raised. */
      readonly hpfar?: bigint
      /** Stage 2 refuses the access's second page: the access that the syndrome describes begins before the address. */
      readonly beyond?: true
    }
  /**
   * WFI (`interrupt`) or WFE (`event`) waits: for an interrupt, or for an event too. `run` comes back at once as long as there
   * is none.
   */
  | { readonly reason: 'wait'; readonly until: 'interrupt' | 'event' }
  /** WFE waits for another processor to write what an exclusive access has marked: others should run. */
  | { readonly reason: 'pause' }
  /** A debugger has it stop: see `ArmDebugControl.stop`. */
  | { readonly reason: 'debug' }
  /** Something in the emulator or its host has thrown. */
  | { readonly reason: 'error'; readonly error: unknown }
