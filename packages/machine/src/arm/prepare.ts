import { prepareArmEngine } from '@retrap/arm-cpu'
import type { ArmMachineOptions } from './machine-options.ts'

/**
 * Generates code that all Arm machines of a process share, such as the interpreter, before the first machine is made.
 *
 * @param options - the `jit` option of the machines to come
 */
export function prepareArmMachine({ jit }: Pick<ArmMachineOptions, 'jit'> = {}): void {
  prepareArmEngine(false, jit !== undefined && jit !== false)
}
