import { prepareArmEngine } from '@retrap/arm-cpu'
import { isShared } from '../options/machine-options.ts'
import type { ArmMachineOptions } from './machine-options.ts'

/**
 * Generates code that all Arm machines of a process share, such as the interpreter, before the first machine is made.
 *
 * @param options - the options of the machines to come
 */
export function prepareArmMachine(
  options: Pick<ArmMachineOptions, 'controllerPlacement' | 'jit' | 'sharedMemory'> = {},
): void {
  prepareArmEngine(isShared(options), options.jit !== undefined && options.jit !== false)
}
