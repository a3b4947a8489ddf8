import { MachineError } from '../errors.ts'

/** Returns the error for the reset of a machine that has nothing to start. A module of its own: programs load it when they reset. */
export const noKernel = (): MachineError =>
  new MachineError(
    'ERR_OPTION',
    'a reset: a machine that goes on from a snapshot has no kernel; give it to reset, or return it from onReset',
  )
